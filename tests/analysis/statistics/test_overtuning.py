"""Overtuning and regret by their definitions, on figures small enough to be done by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics.incumbents import incumbents, true_regrets
from analysis.statistics.overtuning import overtuning

SCORES = {
    "default": {1: 5.0, 2: 7.0, 3: 6.0},  # mean 6
    "middle": {1: 2.0, 2: 4.0, 3: 3.0},  # mean 3
    "last": {1: 4.0, 2: 5.0, 3: 6.0},  # mean 5
}


def test_overtuning_is_the_last_against_the_best_on_the_way() -> None:
    found = overtuning(["default", "middle", "last"], SCORES, "minimize")
    assert found is not None
    assert found.upper == pytest.approx(5 - 3)
    assert found.relative == pytest.approx((5 - 3) / (6 - 3))
    assert found.against_first.mean == pytest.approx(5 - 6)
    assert found.lower == pytest.approx(5 - 3)  # "middle" is the best on any two seeds
    assert not found.ended_below_first


def test_larger_scores_are_mirrored() -> None:
    mirrored = {n: {s: -v for s, v in runs.items()} for n, runs in SCORES.items()}
    names = list(SCORES)
    first, second = (
        overtuning(names, scores, direction)
        for scores, direction in ((SCORES, "minimize"), (mirrored, "maximize"))
    )
    assert first == second


def test_without_a_gain_there_is_no_relative_overtuning() -> None:
    found = overtuning(["middle", "last"], SCORES, "minimize")
    assert found is not None
    assert found.upper == pytest.approx(2)
    assert math.isnan(found.relative)
    assert found.ended_below_first == (found.against_first.low > 0)


def test_an_end_clearly_below_the_beginning_is_said() -> None:
    scores = {"default": {1: 1.0, 2: 1.1, 3: 0.9}, "last": {1: 5.0, 2: 5.1, 3: 4.95}}
    found = overtuning(["default", "last"], scores, "minimize")
    assert found is not None
    assert found.ended_below_first


@pytest.mark.parametrize("names", [["default"], ["default", "unknown"], [], ["default", "default"]])
def test_fewer_than_two_known_incumbents_say_nothing(names: list[str]) -> None:
    assert overtuning(names, SCORES, "minimize") is None


def test_only_seeds_that_all_have_count() -> None:
    scores = {"default": {1: 5.0, 2: 7.0, 9: 99.0}, "last": {1: 4.0, 2: 5.0, 8: -99.0}}
    found = overtuning(["default", "last"], scores, "minimize")
    assert found is not None
    assert found.seeds == (1, 2)
    assert overtuning(["default", "last"], {**scores, "last": {1: 4.0}}, "minimize") is None


values = st.floats(-10, 10)


@given(st.lists(st.tuples(values, values, values), min_size=2, max_size=5))
def test_the_upper_estimate_is_never_below_zero_or_the_lower(
    rows: list[tuple[float, float, float]],
) -> None:
    scores = {str(i): dict(enumerate(row)) for i, row in enumerate(rows)}
    found = overtuning(list(scores), scores, "minimize")
    assert found is not None
    assert found.upper >= 0
    assert found.lower <= found.upper + 1e-9
    assert found.upper >= found.against_first.mean - 1e-9


def frame() -> pd.DataFrame:
    """Ended out of order; one pruned, one failed, one running."""
    rows = [
        ("0000", "finished", 10, 1, 5.0),
        ("0001", "finished", 10, 4, 4.0),
        ("0002", "pruned", 3, 2, 1.0),
        ("0003", "failed", 1, 3, math.nan),
        ("0004", "finished", 10, 5, 4.5),
        ("0005", "finished", 10, 6, 2.0),
        ("0006", "running", 7, None, 0.5),
    ]
    table = pd.DataFrame(rows, columns=["trial", "status", "trained", "ended", "score"])
    return table.assign(ended=pd.to_datetime(table["ended"], unit="s", utc=True))


def test_incumbents_are_the_best_so_far_with_what_was_spent() -> None:
    found = incumbents(frame(), "score", "minimize")
    assert [(s.trial, s.trials, s.epochs, s.score, s.regret) for s in found] == [
        ("0000", 1, 10, 5.0, 3.0),
        ("0001", 4, 24, 4.0, 2.0),
        ("0005", 6, 44, 2.0, 0.0),
    ]
    upward = incumbents(frame().assign(score=-frame()["score"]), "score", "maximize")
    assert [(s.trial, s.regret) for s in upward] == [(s.trial, s.regret) for s in found]


def test_true_regret_is_known_of_confirmed_incumbents_alone() -> None:
    steps = incumbents(frame(), "score", "minimize")
    tested = {"0000": 7.0, "0005": 5.0, "0004": 4.0}  # the last was never the best so far
    assert true_regrets(steps, tested, "minimize") == {"0000": 3.0, "0005": 1.0}
    assert true_regrets(steps, {}, "minimize") == {}
