"""Ranking by the mean over seeds: fair means only, ties as they came."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from analysis.statistics.ranking import Ranking, rank

COLUMNS = ["config", "seed", "status", "val/psnr"]


def _rank(rows: list[tuple[str, int, str, float]], **changed: object) -> Ranking:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    asked = {"metric": "val/psnr", "direction": "maximize"} | changed
    return rank(frame, **asked)  # type: ignore[arg-type]


def _order(ranking: Ranking) -> list[str]:
    return [each.configuration for each in ranking.ranked]


ROWS = [
    ("a", 0, "finished", 18.0),
    ("b", 0, "finished", 19.0),
    ("b", 1, "finished", 18.0),
    ("a", 1, "finished", 20.0),
    ("c", 0, "finished", 25.0),
    ("c", 1, "diverged", math.nan),
]


def test_the_mean_over_seeds_decides_and_not_the_best_seed() -> None:
    found = _rank(ROWS)
    assert [(each.rank, each.configuration) for each in found.ranked] == [(1, "a"), (2, "b")]
    assert found.ranked[0].estimate.mean == 19.0
    assert found.ranked[0].seeds == (0, 1)


def test_smaller_is_better_where_the_metric_says_so() -> None:
    assert _order(_rank(ROWS, direction="minimize")) == ["b", "a"]


def test_a_configuration_that_lost_a_seed_is_left_out_with_the_reason() -> None:
    (left,) = _rank(ROWS).left_out
    assert left.configuration == "c"
    assert left.reason == "no finished run with a finite val/psnr for seed 1"


@pytest.mark.parametrize(
    ("status", "value"), [("pruned", 30.0), ("running", 30.0), ("finished", math.inf)]
)
def test_only_finished_finite_scores_count(status: str, value: float) -> None:
    assert _order(_rank([("a", 0, "finished", 1.0), ("b", 0, status, value)])) == ["a"]


def test_asked_for_seeds_everyone_is_judged_on_exactly_these() -> None:
    rows = [*ROWS, ("b", 2, "finished", 99.0), ("d", 0, "finished", 99.0)]
    found = _rank(rows, seeds=[0, 1])
    assert _order(found) == ["a", "b"]
    assert found.ranked[1].seeds == (0, 1)
    assert [each.configuration for each in found.left_out] == ["c", "d"]


def test_an_attempt_that_was_interrupted_does_not_count_against_the_one_that_finished() -> None:
    rows = [("a", 0, "interrupted", math.nan), ("a", 0, "finished", 2.0)]
    assert _order(_rank(rows)) == ["a"]


def test_a_run_that_finished_twice_counts_once() -> None:
    rows = [("a", 0, "finished", 2.0), ("a", 0, "finished", 3.0)]
    (found,) = _rank(rows).ranked
    assert (found.estimate.n, found.estimate.mean) == (1, 2.0), "the first of them"


def test_ties_share_the_rank_and_keep_their_order() -> None:
    rows = [(name, 0, "finished", value) for name, value in zip("wxyz", (1, 2, 2, 2), strict=True)]
    found = _rank(rows)
    assert [(each.rank, each.configuration) for each in found.ranked] == [
        (1, "x"),
        (1, "y"),
        (1, "z"),
        (4, "w"),
    ]


def test_a_study_without_a_finished_trial_has_an_empty_ranking() -> None:
    assert _rank([("a", 0, "failed", math.nan)]).ranked == ()
    assert _rank([]).ranked == ()
