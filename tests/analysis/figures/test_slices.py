from __future__ import annotations

import math
from dataclasses import replace

import pytest

from analysis.figures import parallel, slices
from analysis.figures.slices import Slice
from analysis.statistics.effects import marginal_effect
from tests.analysis import bulk_studies
from tests.analysis.figures import drawn


def slice_of(parameter: str, limit: int = 600) -> Slice:
    results = bulk_studies.results("plain")
    effect = marginal_effect(
        results.for_statistics(), parameter, "val/mse", results.distributions, budget="budget"
    )
    return slices.info(results, parameter, effect, limit)


def test_points_would_not_be_the_trials_values() -> None:
    found = slice_of("latent_dim")
    trials = bulk_studies.results("plain").trials.set_index("trial")
    for points in found.points:
        chosen = trials.loc[list(points.trials)]
        assert list(points.x) == chosen["params.latent_dim"].tolist()
        assert list(points.y) == chosen["metrics.val/mse"].tolist()
        assert set(chosen["status"]) == {points.status}


def test_failed_trials_would_be_points() -> None:
    statuses = {points.status for points in slice_of("beta").points}
    assert statuses == {"finished", "pruned"}


def test_the_sample_would_lose_the_best() -> None:
    found = slice_of("lr", limit=10)
    assert found.shown == 10
    assert found.total > 10
    names = {name for points in found.points for name in points.trials}
    assert set(bulk_studies.results("plain").ranked["trial"][:3]) <= names


def test_categories_would_be_out_of_order_or_on_top_of_each_other() -> None:
    found = slice_of("beta_schedule")
    assert found.categories == ("constant", "linear")
    for points in found.points:
        places = slices.places(found, points)
        assert [found.categories[round(place)] for place in places] == list(points.x)
        assert len(set(places)) == len(places)


def test_the_axis_would_not_have_the_scale_that_was_searched() -> None:
    assert slice_of("beta").log
    assert not slice_of("noise_factor").log
    assert slices.spec(slice_of("beta"))["layout"]["xaxis"]["type"] == "log"


def test_a_parameter_switched_off_by_hand_would_break_the_log_axis() -> None:
    results = bulk_studies.results("plain")
    trials = results.trials.copy()
    trials.loc[trials["reference"], "params.supcon_gamma"] = 0.0
    found = slices.info(replace(results, trials=trials), "supcon_gamma")
    assert found.log
    drawn.check(slices.plot(found))
    line = parallel.parameter_axis("supcon_gamma", trials["params.supcon_gamma"], log=True)
    assert math.isnan(line.positions[0])
    assert max(each for each in line.positions if not math.isnan(each)) == 1.0


def test_the_median_would_lie_outside_its_interval() -> None:
    line = slices.median_line(slice_of("latent_dim"))
    assert len(line["x"]) >= 2
    for low, middle, high in zip(line["low"], line["median"], line["high"], strict=True):
        assert low <= middle <= high
        assert math.isfinite(low + high)


@pytest.mark.parametrize("parameter", ["latent_dim", "beta_schedule", "noise_factor"])
def test_the_figure_could_not_be_drawn(parameter: str) -> None:
    drawn.check(slices.plot(slice_of(parameter)))


def test_a_value_that_is_no_choice_would_end_the_report() -> None:
    """As a conditional space's reference has one where its kind is not asked for the parameter."""
    results = bulk_studies.results("plain")
    trials = results.trials.copy()
    trials.loc[trials.index[0], "params.beta_schedule"] = "cyclical"
    found = slices.info(replace(results, trials=trials), "beta_schedule")
    assert found.categories == ("constant", "linear", "cyclical")
    for points in found.points:
        assert len(slices.places(found, points)) == len(points.x)
