"""Never more workers than trials or cores, unless someone insists; always one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from studies.denoise_sweep import STUDY
from studies.errors import InputError
from studies.ledger.ledger import Ledger
from studies.runner import capacity, planning
from studies.runner.capacity import Workers, workers
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings


def of(cores: int, left: int, **flags: Any) -> Workers:
    return workers(Settings(**flags), cores=cores, left=left)


CASES = itertools.product(
    (None, 1, 2, 64, 999),  # --cpus
    (0, 1, 4),  # --gpus
    (1, 4),  # --threads
    ("auto", "8"),  # --slots-per-gpu
    (1, 2, 64),  # cores
    (0, 1, 3, 1000),  # trials left
    (False, True),  # --oversubscribe
)


def test_workers_have_cores_and_trials_whatever_is_asked_for() -> None:
    for cpus, gpus, threads, slots, cores, left, insisted in CASES:
        settings = Settings(
            cpus=cpus, gpus=gpus, threads=threads, slots_per_gpu=slots, oversubscribe=insisted
        )
        got = workers(settings, cores=cores, left=left)
        case = f"{settings}, {cores} cores, {left} trials: {got}"
        assert got.count >= 1, case
        assert got.count <= max(1, left), case
        if slots == "8":
            assert (got.count - 1) * 8 < max(1, left), case
        if gpus:
            assert got.count <= gpus, case
        elif cpus is not None:
            assert got.count * threads <= max(cpus, threads), case
        if not insisted:
            assert got.count * threads <= max(cores, threads), case
        asked = gpus or (cpus is not None and max(1, cpus // threads))
        assert bool(got.remark) == bool(asked and got.count < asked), case


@pytest.mark.parametrize(
    ("flags", "cores", "left", "count", "remark"),
    [
        ({"cpus": 64}, 2, 20, 2, "2 workers, not 64: 2 cores can be used; --oversubscribe insists"),
        ({"cpus": 64}, 2, 1, 1, "1 worker, not 64: there is 1 trial to train"),
        ({"cpus": 4}, 8, 3, 3, "3 workers, not 4: there are 3 trials to train"),
        ({"cpus": 8, "threads": 4}, 4, 9, 1, "1 worker, not 2: 4 cores can be used at --threads 4"),
        ({"gpus": 8}, 2, 90, 2, "2 workers, not 8: 2 cores can be used"),
        ({"cpus": 64, "oversubscribe": True}, 2, 90, 64, ""),
        ({"cpus": 64, "oversubscribe": True}, 2, 9, 9, "9 workers, not 64: there are 9 trials"),
        ({"gpus": 8, "oversubscribe": True}, 2, 90, 8, ""),
        ({}, 64, 3, 3, ""),  # nothing was asked for
    ],
)
def test_what_was_made_of_the_flags_is_said(
    flags: dict[str, Any], cores: int, left: int, count: int, remark: str
) -> None:
    got = of(cores, left, **flags)
    assert got.count == count
    assert got.remark.startswith(remark)
    assert bool(got.remark) == bool(remark)


@pytest.mark.parametrize(
    ("flags", "most"),
    [
        ({"trials": 5}, 5),
        ({"trials": 5, "seeds": 3}, 15),
        ({"trials": 2, "confirm_top": 3, "confirm_seeds": 4}, 16),
        ({"trials": 20, "confirm_only": True, "confirm_top": 1, "confirm_seeds": 3}, 6),
        ({"reference": True, "seeds": 4}, 8),  # and its companion
    ],
)
def test_a_ray_of_our_own_is_started_for_the_largest_phase(
    flags: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "usable_cores", lambda: 1000)
    assert capacity.before_start(make_plan(STUDY, Settings(**flags))).count == most


def test_more_threads_than_cores_are_refused_unless_insisted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "usable_cores", lambda: 2)
    plan = make_plan(STUDY, Settings(trials=3, threads=3))
    with pytest.raises(InputError, match=r"--threads is 3, but this process may use 2 cores"):
        capacity.before_start(plan)
    insisted = make_plan(STUDY, Settings(trials=3, threads=3, oversubscribe=True))
    assert capacity.before_start(insisted).count == 1


def opened(tmp_path: Path, plan: Plan) -> Ledger:
    ledger = Ledger(tmp_path, plan.name)
    ledger.create(plan.goal, {})
    ledger.use_sampler(plan.sampler())
    return ledger


def test_what_is_left_counts_down_to_nothing_in_every_phase(tmp_path: Path) -> None:
    settings = Settings(trials=3, seeds=2, confirm_top=1, confirm_seeds=2, scheduler="none")
    plan = make_plan(STUDY, settings)
    ledger = opened(tmp_path, plan)
    assert capacity.trials_left(plan, ledger, "search") == 6
    source, trained = planning.search_source(plan, ledger), 0
    while (trial := source()) is not None:
        ledger.start(trial)
        before = capacity.trials_left(plan, ledger, "search")
        ledger.end(trial, "finished", values=[1 - trained / 100], reason="")
        trained += 1
        left = capacity.trials_left(plan, ledger, "search")
        assert (before, left) == (7 - trained, 6 - trained)
    assert trained == 6
    assert capacity.trials_left(plan, ledger, "confirm") == 4  # the best and the reference
    ledger.close()


def test_a_resumed_study_has_its_open_trials_left_and_a_failed_one_is_not_repeated(
    tmp_path: Path,
) -> None:
    plan = make_plan(STUDY, Settings(trials=3, seeds=2))
    ledger = opened(tmp_path, plan)
    source = planning.search_source(plan, ledger)
    first, second = source(), source()
    assert first is not None
    assert second is not None
    ledger.end(first, "failed", values=None, reason="")
    ledger.start(second)
    ledger.end(second, "interrupted", values=None, reason="")
    # the open one, its other seed, and a pair that is new
    assert capacity.trials_left(plan, ledger, "search") == 4
    ledger.close()


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_reference_phase_trains_what_the_ledger_lacks(tmp_path: Path, seeds: int) -> None:
    plan = make_plan(STUDY, Settings(reference=True, seeds=seeds))
    ledger = opened(tmp_path, plan)
    source = planning.fixed_source(ledger, "reference", planning.reference_runs(plan))
    for left in reversed(range(2 * seeds)):
        trial = source()
        assert trial is not None
        assert capacity.trials_left(plan, ledger, "reference") == left + 1
        ledger.end(trial, "finished", values=[0.1], reason="")
        assert capacity.trials_left(plan, ledger, "reference") == left
    ledger.close()
