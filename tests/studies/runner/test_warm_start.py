"""What a search begins with: which trials compare, what is tried first; a resume agrees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from studies.denoise_sweep import STUDY
from studies.errors import InputError
from studies.ledger.ledger import Ledger
from studies.runner import planning, warm_start
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings
from studies.tracker.earlier import Earlier, EarlierTrial
from vae_trainables.config import TrialConfig

IMAGES = {"train": "aaaa", "val": "bbbb"}


def drawn(plan: Plan, count: int, **changes: Any) -> list[TrialConfig]:
    """What the plan's space suggests at random, then changed in what it does not search."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    return [plan.configure(study.ask()).model_copy(update=changes) for _ in range(count)]


def texts(config: TrialConfig) -> dict[str, str]:
    """As the tracker keeps it."""
    flat = config.flat().items()
    return {name: v if isinstance(v, str) else json.dumps(v) for name, v in flat}


def study(configs: list[TrialConfig], metric: str = "val/mse", **facts: Any) -> Earlier:
    """Finished trials whose MSE is a tenth of a thousandth for each that came before."""
    trials = [
        EarlierTrial(f"{i:04d}", texts(config), {metric: 0.03 - 1e-4 * i})
        for i, config in enumerate(configs)
    ]
    return Earlier("before", **{"data": IMAGES, "code": "c", "trials": trials} | facts)


def begun(plan: Plan, earlier: Earlier) -> tuple[warm_start.Fact, str]:
    fact, (remark,) = warm_start.taken(plan, list(IMAGES.values()), "c", [earlier])
    json.dumps(fact)  # the ledger keeps it
    return fact, remark


@pytest.fixture
def plan() -> Plan:
    return make_plan(STUDY, Settings(epochs=4, trials=20))


def test_trials_that_compare_are_shown_with_their_scores(plan: Plan) -> None:
    configs = drawn(plan, 12)
    fact, remark = begun(plan, study(configs, others=3))
    trials = warm_start.shown(plan, {warm_start.FACT: fact})
    assert [trial.values for trial in trials] == [[0.03 - 1e-4 * i] for i in range(12)]
    for trial, config in zip(trials, configs, strict=True):
        assert trial.state == TrialState.COMPLETE
        assert plan.configure(optuna.trial.FixedTrial(trial.params)) == config  # type: ignore[arg-type]
    assert not warm_start.first(plan, {warm_start.FACT: fact})
    assert remark == (
        "warm start from before: the sampler is shown 12 of 12 finished trials; 3 that did not "
        "finish are left out"
    )


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"epochs": 9}, {}),
        ({"eval_noise_factor": 0.2}, {}),
        ({"train_size": 100}, {}),
        ({"dataset": "mnist"}, {}),
        ({}, {"data": {"train": "aaaa", "val": "cccc"}}),
        ({}, {"data": {}}),
    ],
)
def test_of_what_does_not_compare_the_best_configurations_are_tried_first(
    plan: Plan, changes: dict[str, Any], facts: dict[str, Any]
) -> None:
    configs = drawn(plan, 9, **changes)
    fact, remark = begun(plan, study(configs, **facts))
    assert not warm_start.shown(plan, {warm_start.FACT: fact})
    first = warm_start.first(plan, {warm_start.FACT: fact})
    for params, config in zip(first, configs[:-4:-1], strict=True):  # the last have the least MSE
        led_to = plan.configure(optuna.trial.FixedTrial(params))  # type: ignore[arg-type]
        assert led_to.objective == config.objective
        assert led_to.budget.epochs == 4
    assert "shown 0 of 9" in remark
    assert "the best 3 of their configurations are tried first" in remark


def test_what_is_of_no_use_is_counted_with_its_reason(plan: Plan) -> None:
    outside = drawn(plan, 2, lr=0.5)
    unknown = EarlierTrial("0007", {"kind": "a model of somebody's own"}, {"val/mse": 0.01})
    earlier = study(outside)
    _, remark = begun(plan, Earlier("before", IMAGES, "d", [*earlier.trials, unknown]))
    assert "2 lie outside of the space" in remark
    assert "1 cannot be built here" in remark
    assert "other code of vae_trainables" in remark
    _, remark = begun(plan, study(drawn(plan, 2), metric="val/probe"))
    assert "2 lack an objective" in remark


def search(plan: Plan, ledger: Ledger, trials: int) -> list[dict[str, Any]]:
    """What a driver suggests until there are so many, ended as they come."""
    source = planning.search_source(plan, ledger, first=warm_start.begin(plan, ledger))
    params = []
    while ledger.suggested < trials and (trial := source()) is not None:
        ledger.start(trial)
        ledger.report(trial, 4, {"val/mse": 0.02 + trial.config.optimiser.lr})
        ledger.end(trial, "finished", values=[0.02 + trial.config.optimiser.lr], reason="")
        params.append(ledger.shown()[-1].params)
    return params


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "qmc", "nsga2"])
def test_a_resumed_search_sees_what_it_began_with(tmp_path: Path, sampler: str) -> None:
    plan = make_plan(STUDY, Settings(epochs=4, trials=20, sampler=sampler))  # type: ignore[arg-type]
    alike, otherwise = study(drawn(plan, 12)), study(drawn(plan, 5, epochs=9))
    fact, _ = warm_start.taken(plan, list(IMAGES.values()), "c", [alike, otherwise])
    ledger = Ledger(tmp_path, plan.name)
    ledger.create(plan.goal, {warm_start.FACT: fact})
    suggested = search(plan, ledger, 6)
    assert suggested[0].items() <= plan.reference_params().items()
    assert suggested[1:4] == warm_start.first(plan, ledger.facts())
    looks = [(t.state, t.values, t.params) for t in ledger.shown()]
    assert len(looks) == 12 + 6
    ledger.close()
    again = Ledger(tmp_path, plan.name)
    again.pursue(plan.goal, None)
    warm_start.begin(plan, again)
    assert [(t.state, t.values, t.params) for t in again.shown()] == looks
    search(plan, again, 9)
    states = [t.state for t in again.shown()]
    assert states == [TrialState.COMPLETE] * (12 + 9)
    again.close()


def test_the_sampler_learns_from_the_first_trial_on(tmp_path: Path) -> None:
    plan = make_plan(STUDY, Settings(epochs=4, trials=40))
    configs = drawn(plan, 60)
    earlier = Earlier(
        "before",
        IMAGES,
        "c",
        [
            EarlierTrial(f"{i:04d}", texts(c), {"val/mse": abs(c.optimiser.lr - 1e-3)})
            for i, c in enumerate(configs)
        ],
    )
    fact, _ = warm_start.taken(plan, list(IMAGES.values()), "c", [earlier])
    rates = {}
    for name, facts in {"warm": {warm_start.FACT: fact}, "cold": {}}.items():
        ledger = Ledger(tmp_path / name, plan.name)
        ledger.create(plan.goal, facts)
        found = search(plan, ledger, 9)[1:]
        rates[name] = sum(abs(params["lr"] - 1e-3) for params in found)
        ledger.close()
    assert rates["warm"] < 0.7 * rates["cold"]


def test_what_was_drawn_at_random_before_is_not_drawn_again(tmp_path: Path) -> None:
    plan = make_plan(STUDY, Settings(epochs=4, trials=8, sampler="random"))
    cold, warm = Ledger(tmp_path / "cold", plan.name), Ledger(tmp_path / "warm", plan.name)
    cold.create(plan.goal, {})
    before = search(plan, cold, 8)[1:]
    fact, _ = begun(plan, study([trial.config for trial in cold.trials.values()]))
    warm.create(plan.goal, {warm_start.FACT: fact})
    after = search(plan, warm, 8)[1:]
    assert len(before) == len(after) == 7
    assert not any(params in before for params in after)
    cold.close()
    warm.close()


def test_other_studies_than_it_began_with_are_refused() -> None:
    facts = {warm_start.FACT: {"studies": ["a", "b"]}}
    warm_start.check(["a", "b", "a"], facts)
    warm_start.check(None, facts)
    with pytest.raises(InputError, match="this one began with a, b"):
        warm_start.check(["a"], facts)
    with pytest.raises(InputError, match="this one began without"):
        warm_start.check(["a"], {})


def test_a_study_does_not_begin_with_itself() -> None:
    with pytest.raises(InputError, match="cannot begin with itself"):
        make_plan(STUDY, Settings(warm_start=["denoise_sweep"]))
