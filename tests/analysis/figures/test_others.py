"""Importance, Pareto front, confirmation, robustness, groups, interaction: data and drawing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.figures import (
    anytime,
    confirmations,
    fronts,
    groups,
    importances,
    incumbents,
    interactions,
    rate,
    robustness,
)
from analysis.statistics.confirmation import confirm
from analysis.statistics.effects import interaction
from analysis.statistics.importance import importance
from analysis.statistics.incumbents import Incumbent
from tests.analysis import bulk_studies
from tests.analysis.figures import drawn


def test_importance_would_be_drawn_upside_down() -> None:
    results = bulk_studies.results("plain")
    found = importance(
        results.for_statistics(), "val/mse", "minimize", results.distributions, budget="budget"
    )
    figure = drawn.check(importances.plot(found))
    assert list(figure.data[0].y) == [each.name for each in found.parameters][::-1]


def test_importance_of_nothing_would_be_drawn() -> None:
    results = bulk_studies.results("one")
    found = importance(
        results.for_statistics(), "val/mse", "minimize", results.distributions, budget="budget"
    )
    assert importances.known(found) is None


def test_the_front_would_hold_a_dominated_trial() -> None:
    results = bulk_studies.results("whole")
    found = fronts.info(results)
    assert found is not None
    everyone = [*found.members, *found.others]
    assert len(everyone) == len(results.ranked)
    for _, mse, probe in found.members:
        assert not any(
            other_mse <= mse and other_probe >= probe and (other_mse, other_probe) != (mse, probe)
            for _, other_mse, other_probe in everyone
        )
    drawn.check(fronts.plot(found))


def test_the_front_would_be_shown_for_one_objective() -> None:
    assert fronts.info(bulk_studies.results("plain")) is None
    assert fronts.info(replace(bulk_studies.results("empty"), info={})) is None


def test_the_front_of_a_large_study_would_draw_every_trial() -> None:
    found = fronts.info(bulk_studies.results("whole"), limit=5)
    assert found is not None
    assert len(found.others) == 5
    assert found.total > 5
    assert f"5 of {found.total} others" in fronts.describe(found)


def test_confirmed_scores_would_stand_beside_the_wrong_name() -> None:
    frame = pd.DataFrame(
        [(name, seed, base + seed / 100) for name, base in (("7", 1.0), ("ref", 2.0))
         for seed in (1, 2, 3)],
        columns=["configuration", "seed", "value"],
    )  # fmt: skip
    found = confirm(
        frame, metric="test/mse", direction="minimize", reference="ref", search_scores={"7": 0.9}
    )
    scores = {"7": {1: 1.01, 2: 1.02, 3: 1.03}, "ref": {1: 2.01, 2: 2.02, 3: 2.03}}
    forest = confirmations.info(found, scores, {"7": "trial 7"}, {"7": 0.9})
    first, last = forest.lines
    assert (first.label, first.searched, first.scores) == ("trial 7", 0.9, (1.01, 1.02, 1.03))
    assert (last.label, last.searched, last.color) == ("ref", None, "--reference")
    assert first.low < first.mean < first.high
    drawn.check(confirmations.plot(forest))


def test_a_robustness_band_would_mix_kinds_or_configurations() -> None:
    rows = pd.DataFrame(
        [(c, seed, kind, factor, 20 - factor * 10 + seed / 10 - 5 * (c == "ref"))
         for c in ("a", "ref") for seed in (1, 2, 3)
         for kind in ("gaussian", "salt_pepper") for factor in (0.1, 0.5)],
        columns=["configuration", "seed", "kind", "factor", "psnr"],
    )  # fmt: skip
    found = robustness.info(rows, "gaussian", "psnr", order=["ref", "a"], reference="ref")
    assert found.bands["a"].x == (0.1, 0.5)
    np.testing.assert_allclose(found.bands["a"].mean, [19.2, 15.2])
    np.testing.assert_allclose(found.bands["ref"].mean, [14.2, 10.2])
    assert found.colors["ref"] == "--reference"
    assert found.colors["a"] != "--reference"
    drawn.check(robustness.plot(found))


def test_robustness_would_hide_that_the_noisy_input_is_better() -> None:
    rows = pd.DataFrame(
        [("a", seed, "gaussian", factor, 12.0) for seed in (1, 2) for factor in (0.1, 0.5)],
        columns=["configuration", "seed", "kind", "factor", "psnr"],
    )
    baselines = [
        {"name": "noisy input", "kind": kind, "factor": factor, "psnr": 21 - 20 * factor}
        for kind in ("gaussian", "masking") for factor in (0.5, 0.1)
    ]  # fmt: skip
    found = robustness.info(
        rows, "gaussian", "psnr", order=["a"], reference="ref", baselines=baselines
    )
    assert found.baselines == {"noisy input": ((0.1, 19.0), (0.5, 11.0))}
    plot = robustness.plot(found)
    assert "noisy input from" in plot.alt
    assert "noisy input" in [trace["name"] for trace in plot.spec["data"] if "name" in trace]
    drawn.check(plot)


def test_the_rate_distortion_plane_would_move_or_lose_trials() -> None:
    results = bulk_studies.results("plain")
    plane = rate.info(results)
    assert plane is not None
    ended = results.search[results.search["status"].isin(["finished", "pruned"])]
    assert sorted(plane.trials) == sorted(ended["trial"])
    assert results.reference is not None
    place = plane.marked["reference"]
    assert plane.trials[place] == results.reference["trial"]
    assert plane.rate[place] == results.reference["metrics.val/kl"]
    assert plane.distortion[place] == results.reference["metrics.val/recon"]
    drawn.check(rate.plot(plane))
    few = rate.info(results, limit=5)
    assert few is not None
    assert set(few.marked) == {"winner", "reference"}


def test_a_study_without_kl_has_no_plane() -> None:
    assert rate.info(bulk_studies.results("poor")) is None


def test_a_group_would_show_another_groups_trials() -> None:
    results = bulk_studies.results("plain")
    half = replace(results, trials=results.trials.iloc[:30])
    found = groups.info([("all", results), ("half", half)], limit=7)
    whole, part = found.groups
    assert whole.scores == tuple(results.ranked["metrics.val/mse"])
    assert len(whole.shown) == 7
    assert whole.shown[0][1] == min(whole.scores)
    assert len(part.scores) < len(whole.scores)
    assert whole.median == np.median(whole.scores)
    drawn.check(groups.plot(found))


def test_a_group_without_finished_trials_would_raise() -> None:
    found = groups.info(
        [("some", bulk_studies.results("plain")), ("none", bulk_studies.results("unfinished"))]
    )
    assert found.groups[1].scores == ()
    drawn.check(groups.plot(found))


def test_the_best_cell_would_be_named_wrongly() -> None:
    results = bulk_studies.results("plain")
    found = interaction(
        results.for_statistics(), "latent_dim", "beta", "val/mse", results.distributions,
        budget="budget",
    )  # fmt: skip
    text = interactions.describe(found, "minimize")
    best = np.nanmin(np.asarray(found.means))
    assert f"best, {best:.5f}" in text
    drawn.check(interactions.plot(found, "minimize"))


def test_searches_side_by_side_would_be_measured_by_another_best() -> None:
    """The regret is the distance to what any of them found; theirs fall, and one's ends at 0."""
    courses = [(name, incumbents.info(bulk_studies.results(name))) for name in ("plain", "one")]
    scores, regrets = anytime.plots(courses)
    best = min(course.steps[-1].score for _, course in courses)
    shown = drawn.check(scores)
    assert [trace.name for trace in shown.data] == ["plain", "one"]
    told = [list(trace.y) for trace in drawn.check(regrets).data]
    for (_, course), distances in zip(courses, told, strict=True):
        expected = [score - best for score in course.places[1]]
        np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-9)
        assert sorted(distances, reverse=True) == distances
    assert min(distances[-1] for distances in told) == 0


def test_one_search_alone_is_no_comparison() -> None:
    assert anytime.plots([("plain", incumbents.info(bulk_studies.results("plain")))]) == ()


def test_own_metrics_race_too() -> None:
    """Of a user's metric nobody but the study knows which way is better."""
    steps = (Incumbent("0000", 1, 5, 1.0, 2.0), Incumbent("0001", 2, 9, 3.0, 0.0))
    courses = [
        (str(last), incumbents.Course("val/own", "maximize", steps[:last], 10)) for last in (1, 2)
    ]
    regrets = drawn.check(anytime.plots(courses)[1])
    assert [list(trace.y) for trace in regrets.data] == [[2.0, 2.0], [2.0, 0.0, 0.0]]
