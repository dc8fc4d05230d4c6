"""The sentence on a confirmation: which runs it counts, in which direction, when it is silent."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

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
    ledger.use_sampler(plan.sampler())
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


def said(plan: Plan, ledger: Ledger) -> str:
    judged = confirmation.judged(plan, ledger)
    return "" if judged is None else confirmation.sentence(judged)


def test_each_mean_is_over_its_own_seeds_and_the_test_over_those_that_both_finished(
    plan: Plan, ledger: Ledger
) -> None:
    confirm(plan, ledger, {"0001": [0.1, 0.3, 0.2], "0000": [0.2, 0.25, float("nan")]})
    assert said(plan, ledger).startswith("trial 0001 has test/mse 0.2 (-0.048414 to 0.44841) on 3 ")
    # differences 0.1 and -0.05: mean 0.025, deviation 0.106066, t(0.975, 1) 12.7062
    assert said(plan, ledger).endswith(
        "the reference 0.225 (-0.092655 to 0.54266): not certainly different, "
        "by 0.025 (-0.92797 to 0.97797), p 0.8 over 2 seeds"
    )


def test_a_winner_that_lost_is_called_worse(plan: Plan, ledger: Ledger) -> None:
    confirm(plan, ledger, {"0001": [0.3, 0.31, 0.32], "0000": [0.2, 0.211, 0.221]})
    assert ": worse, by -0.099333 (" in said(plan, ledger)


def test_figures_are_those_of_a_paired_t_test(plan: Plan, ledger: Ledger) -> None:
    ours, theirs = [0.1, 0.12, 0.11], [0.2, 0.21, 0.25]
    confirm(plan, ledger, {"0001": ours, "0000": theirs})
    judged = confirmation.judged(plan, ledger)
    assert judged is not None
    figures = confirmation.figures(judged)
    test = stats.ttest_rel(theirs, ours)
    assert figures["verdict/p"] == pytest.approx(test.pvalue)
    low, high = test.confidence_interval(0.95)
    assert figures["verdict/winner better by low"] == pytest.approx(low)
    assert figures["verdict/winner better by high"] == pytest.approx(high)
    low, high = stats.ttest_1samp(ours, 0).confidence_interval(0.95)
    assert figures["verdict/winner test mse low"] == pytest.approx(low)
    assert figures["verdict/reference test mse"] == pytest.approx(0.22)
    assert figures["verdict/winner seeds"] == 3


def test_one_seed_has_a_mean_and_no_interval_or_p(plan: Plan, ledger: Ledger) -> None:
    confirm(plan, ledger, {"0001": [0.1, *[float("nan")] * 2], "0000": [0.2] * 3})
    judged = confirmation.judged(plan, ledger)
    assert judged is not None
    assert "verdict/winner test mse low" not in confirmation.figures(judged)
    assert "verdict/p" not in confirmation.figures(judged)
    assert "one seed says nothing" in confirmation.sentence(judged)


def test_what_was_told_is_still_known_after_a_restart(
    plan: Plan, ledger: Ledger, tmp_path: Path
) -> None:
    confirm(plan, ledger, {"0001": [0.1] * 3, "0000": [0.2] * 3})
    before = said(plan, ledger)
    ledger.close()
    again = Ledger(tmp_path, plan.name)
    again.pursue(plan.goal, None)
    assert before
    assert said(plan, again) == before
    again.close()


def test_nothing_confirmed_is_nothing_said(plan: Plan, ledger: Ledger) -> None:
    assert confirmation.judged(plan, ledger) is None
