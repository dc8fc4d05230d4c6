from __future__ import annotations

import math

import pandas as pd

from analysis.figures import parallel
from tests.analysis import bulk_studies
from tests.analysis.figures import drawn


def test_lines_would_not_be_best_first() -> None:
    results = bulk_studies.results("whole")
    found = parallel.info(results)
    assert found is not None
    assert list(found.trials) == results.ranked["trial"].tolist()
    assert [axis.title for axis in found.axes][-2:] == [
        "validation MSE",
        "validation probe accuracy",
    ]


def test_the_sample_would_lose_the_best_or_lie_about_its_size() -> None:
    results = bulk_studies.results("plain")
    found = parallel.info(results, limit=10)
    assert found is not None
    assert (found.shown, found.total) == (10, len(results.ranked))
    assert list(found.trials[:5]) == results.ranked["trial"].tolist()[:5]
    places = [results.ranked["trial"].tolist().index(trial) for trial in found.trials]
    assert places == sorted(places)


def test_a_line_would_cross_an_axis_in_the_wrong_place() -> None:
    column = pd.Series([1.0, 10.0, 100.0])
    assert parallel.parameter_axis("x", column, log=True).positions == (0.0, 0.5, 1.0)
    linear = parallel.parameter_axis("x", column, log=False).positions
    assert linear[1] == (10 - 1) / 99
    assert parallel.parameter_axis("x", pd.Series([5, 5]), log=False).positions == (0.5, 0.5)


def test_better_scores_would_lie_lower() -> None:
    down = parallel.score_axis("val/mse", pd.Series([0.01, 0.03]), flip=True)
    up = parallel.score_axis("val/psnr", pd.Series([20.0, 18.0]), flip=False)
    assert down.positions == (1.0, 0.0)
    assert up.positions == (1.0, 0.0)
    assert down.ticks[0] == (1.0, "0.01000")


def test_one_bad_trial_would_flatten_the_others() -> None:
    column = pd.Series([*(0.01 + 0.0001 * i for i in range(39)), 5.0])
    axis = parallel.score_axis("val/mse", column, flip=True)
    assert axis.positions[-1] == 0.0
    assert axis.positions[19] < 0.9
    assert axis.texts[-1] == "5.00000"


def test_a_missing_value_would_break_the_page() -> None:
    axis = parallel.parameter_axis("x", pd.Series([1.0, math.nan, 3.0]), log=False)
    assert math.isnan(axis.positions[1])
    found = parallel.Parallel(("a", "b", "c"), (axis,), 3, 3, "val/mse")
    assert parallel.spec(found)["axes"][0]["positions"] == [0.0, None, 1.0]


def test_nothing_finished_would_raise() -> None:
    assert parallel.info(bulk_studies.results("unfinished")) is None
    assert parallel.info(bulk_studies.results("empty")) is None


def test_the_figure_could_not_be_drawn() -> None:
    found = parallel.info(bulk_studies.results("whole"))
    assert found is not None
    plot = parallel.plot(found)
    assert f"trial {found.trials[0]}" in plot.alt
    svg = drawn.on_paper(plot.paper())
    assert all(axis.title.encode() in svg for axis in found.axes)
