"""Each fast path that fails leaves finished trials with the numbers of the slow one, and a line.

Faults are injected where a GPU would have them; the numbers are those of trials alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from studies.workers import workbench
from studies.workers.workbench import COHORT_ERROR, Workbench
from tests.vae_trainables.cohort.support import comparable, config, small_data, solo, varied
from tests.vae_trainables.without_card import interpreted
from vae_trainables.cohort import Assignment, Cohort, Ways, cohort, proof
from vae_trainables.cohort.step import LockStep
from vae_trainables.config import TrialConfig
from vae_trainables.numerics import fast, philox
from vae_trainables.training.session import Record
from vae_trainables.training.trial import Trial

EPOCHS = 2
CONFIGS = varied(count=2, epochs=EPOCHS)
GPU_LIKE = Ways(adam="flat", backend="counter", capture=False, kernels=False, proof=True)


class Step:
    """A step that stands for the one of a CUDA graph, which a CPU does not have."""

    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        self.step = step
        for _ in range(3):
            step()

    def __call__(self, count: int = 1) -> None:
        for _ in range(count):
            self.step()

    def release(self) -> None:
        self.step = lambda: None


class Stuck(Step):
    """Replays what was captured but draws the same numbers again."""

    def __call__(self, count: int = 1) -> None:
        for _ in range(count):
            self.step()
            self.step.__self__.randomness.advance()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that passes for a GPU: it captures, and cohorts are worth their while."""
    alone()
    monkeypatch.setattr(cohort, "CapturedStep", Step)
    monkeypatch.setattr(proof, "images_per_s", lambda trial: 0.0)
    settled = Ways.settled

    def settle(self: Ways, *where: Any) -> Ways:
        made = settled(Ways(**{**vars(self), "capture": False}), *where)
        return Ways(**{**vars(made), "capture": bool(self.capture)})

    monkeypatch.setattr(Ways, "settled", settle)


def bench(ways: Ways = GPU_LIKE, **settings: Any) -> Workbench:
    settings = {"slots": len(CONFIGS), "save_every_s": 0.0} | settings
    return Workbench(small_data(), device="cpu", ways=ways, **settings)


def trained(
    worker: Workbench, folder: Path, configs: list[TrialConfig] = CONFIGS
) -> dict[str, list[Record]]:
    """All that a worker says of the trials until they have ended."""
    records: dict[str, list[Record]] = {}
    for i, chosen in enumerate(configs):
        for record in worker.take(str(i), Assignment(chosen, folder / str(i))):
            records.setdefault(str(i), []).append(record)
    for _ in range(2 * EPOCHS):
        told, evicted = worker.run_epoch()
        for key, record in told:
            records.setdefault(key, []).append(record)
        for key in evicted:
            again = Assignment(configs[int(key)], folder / key, told=len(records.get(key, [])))
            records.setdefault(key, []).extend(worker.take(key, again))
    assert worker.seats == {}
    return records


def assert_right(records: dict[str, list[Record]], *, exact: bool) -> None:
    """Every trial finished, each epoch told once, with the numbers of the trial alone."""
    for i, expectations in enumerate(alone()):
        told = records[str(i)]
        assert [(record.epoch, record.outcome) for record in told] == [
            (1, "running"),
            (2, "finished"),
        ]
        for record, expected in zip(told, expectations, strict=True):
            tolerance = 0.0 if exact else 1e-4
            assert comparable(record.metrics) == pytest.approx(expected, rel=tolerance)


@cache
def alone() -> list[list[dict[str, float]]]:
    """Of each configuration each epoch's metrics, before any fault is injected."""
    trials = [solo(chosen, epochs=EPOCHS, backend="counter") for chosen in CONFIGS]
    return [[comparable(entry["metrics"]) for entry in trial.history] for trial in trials]


def raising(error: Exception) -> Callable[..., Any]:
    def broken(*arguments: object, **settings: object) -> Any:
        raise error

    return broken


def test_without_a_fault_nothing_is_said(tmp_path: Path) -> None:
    worker = bench(Ways(**{**vars(GPU_LIKE), "capture": True}))
    assert_right(trained(worker, tmp_path), exact=False)
    notes, ways = worker.news()
    assert notes == []
    assert set(ways.values()) == {"2 slots, captured, without Triton kernels"}


def kernels_do_not_compile(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fast, "on", lambda device: fast.Fast(interpreted()))
    patch.setattr(fast, "draws", lambda device: philox)  # a trial's own have been tried, they do
    patch.setattr(interpreted(), "launch", raising(ValueError("Scalar is out of range")))


def kernels_are_not_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fast, "on", lambda device: fast.Fast(None, "Failed to find C compiler"))


def capture_fails(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cohort, "CapturedStep", raising(RuntimeError("operation not permitted")))


def capture_is_wrong(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cohort, "CapturedStep", Stuck)


STACKED = {
    "kernels do not compile": (kernels_do_not_compile, "Triton kernels failed (ValueError: Scalar"),
    "no compiler": (kernels_are_not_there, "no Triton kernels (Failed to find C compiler)"),
    "capture fails": (capture_fails, "could not be captured (RuntimeError: operation not"),
    "capture is wrong": (capture_is_wrong, "the captured step is wrong (CohortError: it differs"),
}


@pytest.mark.parametrize("fault", STACKED)
def test_a_fast_step_that_fails_leaves_a_slower_one(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject, line = STACKED[fault]
    inject(monkeypatch)
    kernels = True if fault == "kernels do not compile" else None
    ways = Ways(**{**vars(GPU_LIKE), "kernels": kernels, "capture": "capture" in fault})
    worker = bench(ways)
    assert_right(trained(worker, tmp_path), exact=False)
    notes, tags = worker.news()
    assert [line in note for note in notes] == [True]
    assert set(tags.values()) == {"2 slots, un-captured, without Triton kernels"}


def stacking_fails(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(workbench, "Cohort", raising(RuntimeError("no kernel image")))


def stacking_is_wrong(patch: pytest.MonkeyPatch) -> None:
    step = LockStep.step

    def wrong(self: LockStep) -> None:
        step(self)
        self.randomness.advance()

    patch.setattr(LockStep, "step", wrong)


def stacking_raises(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(proof, "together", raising(RuntimeError("misaligned address")))


def stacking_is_slower(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(proof, "images_per_s", lambda trial: float("inf"))


def a_first_step_fails(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cohort, "run_epoch", raising(RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED")))


def a_later_step_fails(patch: pytest.MonkeyPatch) -> None:
    run_epoch, epochs = Cohort.run_epoch, [1]

    def broken(self: Cohort) -> Any:
        if not epochs:
            raise RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED")
        epochs.pop()
        return run_epoch(self)

    patch.setattr(Cohort, "run_epoch", broken)


ALONE = {
    "stacking fails": (stacking_fails, "no cohort: RuntimeError: no kernel image (traceback: "),
    "stacking is wrong": (stacking_is_wrong, "from a trial's own: such trials train alone"),
    "stacking raises": (stacking_raises, "stacked steps failed: RuntimeError: misaligned"),
    "stacking is slower": (stacking_is_slower, "images/s, a trial alone inf: such trials"),
    "a first step fails": (a_first_step_fails, "a step failed: RuntimeError: CUBLAS"),
    "a later step fails": (a_later_step_fails, "a step failed: RuntimeError: CUBLAS"),
}


@pytest.mark.parametrize("fault", ALONE)
def test_trials_whose_cohort_fails_train_alone(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a checkpoint they begin again, and tell nothing twice."""
    inject, line = ALONE[fault]
    inject(monkeypatch)
    worker = bench(save_every_s=1e9 if fault == "a later step fails" else 0.0)
    assert_right(trained(worker, tmp_path), exact=fault != "a later step fails")
    notes, tags = worker.news()
    assert [line in note for note in notes] == [True]
    assert all(tag.startswith("alone: ") for tag in tags.values())
    assert len(tags) == len(CONFIGS)


def test_the_traceback_of_a_cohorts_error_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_first_step_fails(monkeypatch)
    worker = bench()
    trained(worker, tmp_path)
    (note,) = worker.news()[0]
    assert f"(traceback: {tmp_path / '0' / COHORT_ERROR})" in note
    assert "in broken" in (tmp_path / "0" / COHORT_ERROR).read_text()


def test_cohorts_can_be_switched_off(tmp_path: Path) -> None:
    worker = bench(stacked=False)
    assert_right(trained(worker, tmp_path), exact=True)
    assert worker.news() == ([], {"0": "alone", "1": "alone"})


def test_a_fault_of_one_trial_alone_is_its_own_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trial._train_step

    def poisoned(self: Trial, *how: Any) -> Any:
        if self.config.seed == CONFIGS[0].seed:
            raise RuntimeError("index out of bounds")
        return step(self, *how)

    monkeypatch.setattr(Trial, "_train_step", poisoned)
    a_first_step_fails(monkeypatch)
    records = trained(bench(), tmp_path)
    assert [record.outcome for record in records["0"]] == ["failed"]
    assert [record.outcome for record in records["1"]] == ["running", "finished"]


def test_an_error_that_makes_the_device_unusable_ends_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more can be computed in such a process: its trials go on in another."""
    a_first_step_fails(monkeypatch)
    monkeypatch.setattr(workbench, "usable", lambda device: False)
    worker = bench()
    worker.take("a", Assignment(CONFIGS[0], tmp_path / "a"))
    with pytest.raises(RuntimeError, match="CUBLAS"):
        worker.run_epoch()
    monkeypatch.setattr(Trial, "run_epoch", raising(RuntimeError("illegal memory access")))
    worker = bench(stacked=False)
    worker.take("a", Assignment(CONFIGS[0], tmp_path / "b"))
    with pytest.raises(RuntimeError, match=r"unusable to this process.*illegal memory"):
        worker.run_epoch()


def test_memory_that_others_take_from_a_trial_alone_is_not_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_epoch, crowds = Trial.run_epoch, [1]

    def crowded(self: Trial) -> Any:
        if self.config.seed == CONFIGS[0].seed and crowds:
            crowds.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run_epoch(self)

    monkeypatch.setattr(Trial, "run_epoch", crowded)
    assert_right(trained(bench(stacked=False, slots=3), tmp_path), exact=True)


def test_a_lack_of_memory_is_no_reason_for_a_slower_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one for fewer slots."""
    monkeypatch.setattr(
        cohort, "CapturedStep", raising(torch.OutOfMemoryError("CUDA out of memory"))
    )
    worker = bench(Ways(**{**vars(GPU_LIKE), "capture": True}))
    (record,) = worker.take("a", Assignment(config(), tmp_path))
    assert (record.outcome, worker.news()[0]) == ("out_of_memory", [])
