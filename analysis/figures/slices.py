"""Slices: the objective against one searched parameter each, with the median of finished trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import CategoricalDistribution

from analysis.figures.base import (
    COLORS,
    PER_TRIAL,
    Plot,
    Spec,
    axis,
    log_ticks,
    panels,
    paper_legend,
    rounded,
    sensible_range,
)
from analysis.statistics.effects import Effect
from analysis.statistics.quantities import quantity
from analysis.statistics.search_space import label
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import PARAM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 600  # points per slice
STATUSES = {"pruned": "--pruned", "finished": "--finished"}


@dataclass(frozen=True)
class Points:
    """The trials of one status: where they lie and who they are."""

    status: str
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    trials: tuple[str, ...]


@dataclass(frozen=True)
class Slice:
    """`metric` against `parameter`; the effect's bins give the median with its interval.

    `categories` are in the order of the search space; empty for a number.
    """

    parameter: str
    metric: str
    log: bool
    categories: tuple[str, ...]
    points: tuple[Points, ...]
    shown: int
    total: int
    effect: Effect | None


def info(
    results: StudyResults, parameter: str, effect: Effect | None = None, limit: int = SHOWN
) -> Slice:
    """Finished and pruned trials of the search that have the parameter and the objective."""
    metric, column = results.objective.metric, PARAM + parameter
    score = results.objective.column
    usable = results.search[results.search["status"].isin(STATUSES)]
    usable = usable[usable[column].notna() & np.isfinite(usable[score].astype(float))]
    trials = usable
    if len(usable) > limit:
        best = results.ranked.index[: limit // 3]
        rest = usable.index.difference(best)
        drawn = np.random.default_rng(0).permutation(len(rest))[: limit - len(best)]
        trials = usable.loc[best.union(rest[drawn])]
    log, categories = _scale(results, parameter, usable[column].tolist())
    as_x = label if categories else float
    points = tuple(
        Points(
            status,
            tuple(as_x(value) for value in rows[column].tolist()),
            tuple(rows[score].tolist()),
            tuple(rows["trial"].tolist()),
        )
        for status in STATUSES
        if len(rows := trials[trials["status"] == status])
    )
    return Slice(parameter, metric, log, categories, points, len(trials), len(usable), effect)


def _scale(
    results: StudyResults, parameter: str, values: list[Any]
) -> tuple[bool, tuple[str, ...]]:
    """Whether it is drawn on a log axis; its categories, if it has any."""
    dimension = next((item for item in results.space if item.name == parameter), None)
    if dimension is not None and isinstance(dimension.distribution, CategoricalDistribution):
        choices = tuple(str(choice) for choice in dimension.distribution.choices)
        # Where a parameter is suggested for some kinds only, others may have any value.
        others = {label(value) for value in values} - set(choices)
        return False, (*choices, *sorted(others))
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return dimension is not None and dimension.log, ()
    return False, tuple(sorted({label(value) for value in values}))


def places(found: Slice, points: Points) -> list[float]:
    """Where points lie: their value, or their category's number with a little spread."""
    if not found.categories:
        return [float(value) for value in points.x]
    spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(points.x)).tolist()
    return [
        found.categories.index(str(value)) + by for value, by in zip(points.x, spread, strict=True)
    ]


def median_line(found: Slice) -> Mapping[str, tuple[float, ...]]:
    """x, median, low, high of the bins that hold enough trials for an interval."""
    bins = [] if found.effect is None else found.effect.bins
    filled = [binned for binned in bins if binned.n and math.isfinite(binned.median[1])]
    if found.categories:
        x = tuple(float(found.categories.index(binned.bin.label)) for binned in filled)
    else:
        x = tuple(binned.bin.center for binned in filled)
    middle, low, high = (tuple(binned.median[i] for binned in filled) for i in range(3))
    return {"x": x, "median": middle, "low": low, "high": high}


def describe(found: Slice) -> str:
    """What the picture shows, in words."""
    measure = quantity(found.metric)
    line = median_line(found)
    text = f"{measure.header} against {found.parameter} for {found.shown} of {found.total} trials"
    if len(line["x"]) > 1:
        order = np.argsort(line["median"])
        best = int(order[0] if measure.direction != "maximize" else order[-1])
        at = line["x"][best]
        where = found.categories[int(at)] if found.categories else f"{at:.3g}"
        text += f"; the best median, {measure.text(line['median'][best])}, lies at {where}"
    return text + "."


def _all_scores(panel: Slice) -> list[float]:
    return [value for points in panel.points for value in points.y]


def spec(found: Slice) -> Spec:
    """For the page."""
    traces: list[Spec] = [
        {
            "type": "scatter", "mode": "markers", "name": points.status,
            "x": rounded(places(found, points)),
            "y": rounded(points.y), "meta": PER_TRIAL, "text": list(points.trials),
            "marker": {"color": STATUSES[points.status], "size": 5, "opacity": 0.55},
            "customdata": [f"{x:.4g}" if isinstance(x, float) else x for x in points.x],
            "hovertemplate": "trial %{text}<br>%{customdata}: %{y:.5g}<extra></extra>",
        }
        for points in found.points
    ]  # fmt: skip
    line = median_line(found)
    if line["x"]:
        middle = np.asarray(line["median"])
        traces.append(
            {
                "type": "scatter", "mode": "markers" if found.categories else "lines+markers",
                "name": "median of finished, 95 %", "x": list(line["x"]), "y": rounded(middle),
                "error_y": {
                    "type": "data", "array": rounded(np.asarray(line["high"]) - middle),
                    "arrayminus": rounded(middle - np.asarray(line["low"])), "color": "--best",
                },
                "line": {"color": "--best", "width": 2}, "marker": {"color": "--best", "size": 6},
            }
        )  # fmt: skip
    y_axis = axis("")
    if limits := sensible_range(_all_scores(found)):
        y_axis["range"] = list(limits)
    layout = {"xaxis": _x_axis(found), "yaxis": y_axis, "showlegend": False, "height": 290}
    return {"data": traces, "layout": layout}


def _x_axis(panel: Slice) -> Spec:
    if panel.categories:
        count = len(panel.categories)
        ticks: Spec = {"tickvals": list(range(count)), "ticktext": list(panel.categories)}
        return axis("", range=[-0.5, count - 0.5], **ticks)
    if not panel.log:
        return axis("")
    # A trial given by hand may have switched the parameter off: 0 has no place on a log axis.
    values = [place for points in panel.points for place in places(panel, points) if place > 0]
    return axis("", log=True, **(log_ticks(min(values), max(values)) if values else {}))


def draw(axes: Axes, found: Slice) -> None:
    """For paper."""
    for points in found.points:
        color = COLORS[STATUSES[points.status]]
        axes.scatter(
            places(found, points), points.y, s=8, alpha=0.5, color=color, label=points.status
        )
    line = median_line(found)
    if line["x"]:
        middle = np.asarray(line["median"])
        errors = [middle - np.asarray(line["low"]), np.asarray(line["high"]) - middle]
        axes.errorbar(
            line["x"], middle, yerr=errors, color=COLORS["--best"], marker="o", ms=3,
            linestyle="none" if found.categories else "-", label="median, 95 %",
        )  # fmt: skip
    if found.log:
        axes.set_xscale("log")
    if found.categories:
        axes.set_xticks(range(len(found.categories)), found.categories)
    if limits := sensible_range(_all_scores(found)):
        axes.set_ylim(*limits)
    axes.set(xlabel=found.parameter, ylabel=quantity(found.metric).header)


def legend() -> tuple[tuple[str, str], ...]:
    """Label and colour, for a legend that several plots share."""
    return (*STATUSES.items(), ("median of finished trials, 95 % interval", "--best"))


def plot(found: Slice) -> Plot:
    """The figure of one parameter."""

    def paper() -> Figure:
        figure, (axes,) = panels(1)
        draw(axes, found)
        paper_legend(figure)
        return figure

    return Plot(
        f"slice_{found.parameter}", found.parameter, describe(found), "", spec(found), paper
    )
