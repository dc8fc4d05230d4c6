"""Confirmation on small tables whose findings can be worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.confirmation import Confirmation, confirm

SCORES = {
    "a": [18.4, 18.5, 18.3, 18.6, 18.4],
    "b": [18.5, 18.7, 18.6, 18.6, 18.7],
    "c": [18.1, 18.2, 18.0, 18.3, 18.1],
    "reference": [18.0, 18.1, 17.9, 18.1, 18.0],
}
SEARCH = {"c": 18.4, "a": 18.9, "b": 18.6}


def _frame(scores: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"configuration": name, "seed": 100 + place, "value": value}
            for name, values in scores.items()
            for place, value in enumerate(values)
        ]
    )


def _confirm(frame: pd.DataFrame, **changed: Any) -> Confirmation:
    asked: dict[str, Any] = {
        "metric": "test/psnr",
        "direction": "maximize",
        "reference": "reference",
        "search_scores": SEARCH,
    }
    return confirm(frame, **(asked | changed))


def test_the_winner_is_the_searchs_first_even_where_another_tests_better() -> None:
    found = _confirm(_frame(SCORES))
    assert [each.configuration for each in found.configurations] == ["a", "b", "c", "reference"]
    assert found.winner.configuration == "a"
    assert found.seeds == (100, 101, 102, 103, 104)


def test_every_estimate_is_the_mean_and_scipys_interval() -> None:
    for each in _confirm(_frame(SCORES)).configurations:
        expected = stats.ttest_1samp(SCORES[each.configuration], 0.0).confidence_interval(0.95)
        assert each.estimate.mean == pytest.approx(np.mean(SCORES[each.configuration]))
        assert each.estimate.low == pytest.approx(expected.low)
        assert each.estimate.high == pytest.approx(expected.high)


def test_comparisons_are_paired_by_seed_whatever_the_order_of_rows() -> None:
    found = _confirm(_frame(SCORES).sample(frac=1, random_state=0))
    assert [each.configuration for each in found.comparisons] == ["a", "b", "c"]
    for each in found.comparisons:
        expected = stats.ttest_rel(SCORES[each.configuration], SCORES["reference"])
        assert each.p_t == pytest.approx(expected.pvalue)
        interval = expected.confidence_interval(0.95)
        assert each.difference.low == pytest.approx(interval.low)
        assert each.difference.high == pytest.approx(interval.high)
    smallest = min(each.p_t for each in found.comparisons)
    assert min(each.p_holm for each in found.comparisons) == pytest.approx(3 * smallest)


def test_optimism_is_what_the_search_showed_too_much() -> None:
    optimism = _confirm(_frame(SCORES)).winner.optimism
    assert optimism is not None
    gaps = [18.9 - value for value in SCORES["a"]]
    assert optimism.search_score == 18.9
    assert optimism.total.mean == pytest.approx(np.mean(gaps))
    reach = stats.t.ppf(0.975, 4) * np.std(gaps, ddof=1) * math.sqrt(1 + 1 / 5)
    assert optimism.total.half_width == pytest.approx(reach)
    assert optimism.certain == (np.mean(gaps) > reach)
    assert optimism.selection is None


def test_a_search_score_of_several_seeds_is_the_steadier_draw() -> None:
    optimism = _confirm(_frame(SCORES), search_seeds=4).winner.optimism
    assert optimism is not None
    spread = np.std(SCORES["a"], ddof=1)
    reach = stats.t.ppf(0.975, 4) * spread * math.sqrt(1 / 4 + 1 / 5)
    assert optimism.total.half_width == pytest.approx(reach)


def test_optimism_of_a_loss_is_positive_where_the_search_showed_too_little() -> None:
    frame = _frame({"a": [0.020, 0.021, 0.019], "reference": [0.03, 0.03, 0.031]})
    found = _confirm(frame, direction="minimize", search_scores={"a": 0.015})
    assert found.winner.optimism is not None
    assert found.winner.optimism.total.mean == pytest.approx(0.005)


def test_optimism_splits_into_luck_and_validation_against_test() -> None:
    frame = _frame(SCORES)
    frame["val"] = frame["value"] + 0.25
    optimism = _confirm(frame, validation="val").winner.optimism
    assert optimism is not None
    assert optimism.transfer is not None
    assert optimism.selection is not None
    assert optimism.transfer.mean == pytest.approx(0.25)
    assert optimism.selection.mean + optimism.transfer.mean == pytest.approx(optimism.total.mean)


def test_a_split_that_would_not_add_up_is_left_out() -> None:
    frame = _frame(SCORES)
    frame["val"] = frame["value"]
    frame.loc[0, "val"] = math.nan
    optimism = _confirm(frame, validation="val").winner.optimism
    assert optimism is not None
    assert optimism.selection is None


def test_a_reference_that_the_search_did_not_try_has_no_optimism() -> None:
    reference = _confirm(_frame(SCORES)).configurations[-1]
    assert reference.configuration == "reference"
    assert reference.optimism is None


def test_the_order_did_not_hold_where_the_second_came_out_first() -> None:
    order = _confirm(_frame(SCORES)).order
    assert order.searched == ("a", "b", "c")
    assert order.confirmed == ("b", "a", "c")
    assert not order.held
    assert order.kendall_tau == pytest.approx(1 / 3)
    assert [(swap.configuration, swap.reference) for swap in order.swaps] == [("b", "a")]
    assert order.swaps[0].difference.mean == pytest.approx(0.18)


def test_the_order_held_where_all_kept_their_places() -> None:
    order = _confirm(_frame(SCORES), search_scores={"b": 19.0, "a": 18.9, "c": 18.2}).order
    assert order.held
    assert order.kendall_tau == pytest.approx(1.0)
    assert order.swaps == ()


def test_an_order_is_settled_only_where_every_pair_is_told_apart() -> None:
    steps = {"a": [3.0, 3.1, 3.0], "b": [2.0, 2.1, 2.01], "c": [1.0, 1.1, 0.99]}
    ranked = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert _confirm(_frame(steps), search_scores=ranked).order.settled
    close = steps | {"b": [2.9, 3.2, 2.8]}
    assert not _confirm(_frame(close), search_scores=ranked).order.settled


def test_equal_search_scores_cannot_swap() -> None:
    order = _confirm(_frame(SCORES), search_scores={"a": 18.9, "b": 18.9}).order
    assert order.held
    assert order.searched == ("a", "b")


def test_the_order_is_judged_on_seeds_that_all_have() -> None:
    # On its own two seeds b is far ahead; on the seeds that both have it is behind.
    scores = {"a": [2.0, 2.0, 2.0, math.nan], "b": [1.0, 1.0, math.nan, 50.0]}
    order = _confirm(_frame(scores), search_scores={"a": 2.0, "b": 1.0}).order
    assert order.confirmed == ("a", "b")
    assert order.held


def test_a_seed_that_failed_is_reported_as_missing() -> None:
    frame = _frame(SCORES)
    frame.loc[(frame["configuration"] == "a") & (frame["seed"] == 101), "value"] = math.nan
    frame = frame[~((frame["configuration"] == "a") & (frame["seed"] == 103))]
    found = _confirm(frame)
    assert found.winner.missing == (101, 103)
    assert found.winner.seeds == (100, 102, 104)
    comparison = found.comparison("a")
    assert comparison is not None
    assert comparison.seeds == (100, 102, 104)


def test_a_winner_that_has_not_been_retrained_yet_is_kept_as_unconfirmed() -> None:
    found = _confirm(_frame(SCORES), search_scores=SEARCH | {"z": 20.0})
    assert found.winner.configuration == "z"
    assert found.winner.estimate.n == 0
    assert found.winner.missing == found.seeds
    assert found.order.searched == ("a", "b", "c")


def test_a_reference_that_wins_is_compared_with_the_others_only() -> None:
    found = _confirm(_frame(SCORES), search_scores={"reference": 19.0, "a": 18.0})
    assert found.winner.configuration == "reference"
    assert found.comparison("reference") is None
    assert [each.configuration for each in found.comparisons] == ["a", "b", "c"]


def test_a_reference_without_runs_leaves_every_comparison_open() -> None:
    found = _confirm(_frame({"a": SCORES["a"]}), search_scores={"a": 18.9})
    assert [each.conclusion for each in found.comparisons] == ["too few seeds"]


def test_no_finished_run_at_all_is_a_finding_and_no_error() -> None:
    empty = pd.DataFrame({"configuration": [], "seed": [], "value": []})
    found = _confirm(empty)
    assert found.winner.configuration == "a"
    assert found.order.searched == ()
    assert math.isnan(found.order.kendall_tau)


def test_a_run_counted_twice_is_refused() -> None:
    frame = pd.concat([_frame(SCORES), _frame({"a": [18.0]})])
    with pytest.raises(ValueError, match="configuration 'a' has seed 100 twice"):
        _confirm(frame)


def test_nothing_to_confirm_is_refused() -> None:
    empty = pd.DataFrame({"configuration": [], "seed": [], "value": []})
    with pytest.raises(ValueError, match="no configuration to confirm"):
        _confirm(empty, search_scores={})
