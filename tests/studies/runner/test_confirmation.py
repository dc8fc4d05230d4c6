"""The sentence on a confirmation: which runs it counts, in which direction, when it is silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.denoise_sweep import STUDY
from studies.ledger.ledger import Ledger
from studies.runner import confirmation, planning
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings


@pytest.fixture
def plan() -> Plan:
    return make_plan(STUDY, Settings(trials=2, epochs=1, confirm_top=1, confirm_seeds=3))


@pytest.fixture
def ledger(plan: Plan, tmp_path: Path) -> Ledger:
    """The reference, 0000, and the winner, 0001, have been searched."""
    ledger = Ledger(tmp_path, plan.name)
    ledger.create(plan.goal, {})
    ledger.use_sampler(plan.sampler(0))
    for trial, value in zip(
        iter(planning.search_source(plan, ledger), None), (0.4, 0.1), strict=True
    ):
        ledger.start(trial)
        ledger.end(trial, "finished", values=[value], reason="")
    return ledger


def confirm(plan: Plan, ledger: Ledger, scores: dict[str, list[float]]) -> None:
    """Finish confirmation runs with test MSEs by the key they repeat; NaN: the run fails."""
    runs = planning.confirmation_runs(plan, ledger)
    left = {key: iter(values) for key, values in scores.items()}
    for trial in iter(planning.fixed_source(ledger, "confirm", runs), None):
        value = next(left[trial.like])
        ledger.start(trial)
        if value != value:
            ledger.end(trial, "failed", values=None, reason="made to fail")
            continue
        ledger.report(trial, 1, {"val/mse": 0.2, "test/mse": value})
        ledger.end(trial, "finished", values=[0.2], reason="")


def test_means_are_over_the_seeds_that_both_finished(plan: Plan, ledger: Ledger) -> None:
    confirm(plan, ledger, {"0001": [0.1, 0.3, 9.0], "0000": [0.2, 0.25, float("nan")]})
    assert confirmation.sentence(plan, ledger) == (
        "trial 0001 has test/mse 0.2 on fresh seeds, the reference 0.225: better on average, "
        "better on 1 of 2 seeds"
    )


def test_a_winner_that_lost_is_not_called_better(plan: Plan, ledger: Ledger) -> None:
    confirm(plan, ledger, {"0001": [0.3, 0.3, 0.3], "0000": [0.2, 0.2, 0.2]})
    assert "not better on average, better on 0 of 3 seeds" in confirmation.sentence(plan, ledger)


def test_what_was_told_is_still_known_after_a_restart(
    plan: Plan, ledger: Ledger, tmp_path: Path
) -> None:
    confirm(plan, ledger, {"0001": [0.1] * 3, "0000": [0.2] * 3})
    before = confirmation.sentence(plan, ledger)
    ledger.close()
    again = Ledger(tmp_path, plan.name)
    again.pursue(plan.goal, None)
    assert confirmation.sentence(plan, again) == before
    again.close()


def test_nothing_confirmed_is_nothing_said(plan: Plan, ledger: Ledger) -> None:
    assert confirmation.sentence(plan, ledger) == ""
