"""Parallel coordinates: each trial a line through its parameters and scores.

The page draws it with a few lines of its own script rather than plotly's, whose lines can neither
be picked nor reached with the keyboard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.figures.base import PANEL, Plot, Spec, rounded
from analysis.statistics.quantities import quantity
from analysis.statistics.search_space import label
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import PARAM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 300  # lines
MOST_AXES = 10
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """One axis: where each line crosses it (0 bottom, 1 top, NaN nowhere) and what that means."""

    title: str
    positions: tuple[float, ...]
    texts: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Parallel:
    """Lines, best first: `trials[i]` crosses each axis at `positions[i]`; `shown` of `total`.

    `without_axis` are searched parameters for which there was no room.
    """

    trials: tuple[str, ...]
    axes: tuple[Axis, ...]
    shown: int
    total: int
    metric: str
    without_axis: tuple[str, ...] = ()


def info(
    results: StudyResults, order: Sequence[str] | None = None, limit: int = SHOWN
) -> Parallel | None:
    """Finished trials over the searched parameters, in `order` if given, then the objectives.

    With more trials than `limit` the best half and a random half; None where nothing finished or
    nothing was searched.
    """
    ranked = results.ranked
    searched = list(order or results.varied)
    room = MOST_AXES - len(results.objectives)
    parameters = searched[:room]
    if ranked.empty or not parameters:
        return None
    trials = ranked
    if len(ranked) > limit:
        rest = np.random.default_rng(0).permutation(np.arange(limit // 2, len(ranked)))
        rows = np.sort(np.concatenate([np.arange(limit // 2), rest[: limit - limit // 2]]))
        trials = ranked.iloc[rows]
    logs = {dimension.name for dimension in results.space if dimension.log}
    axes = [parameter_axis(name, trials[PARAM + name], name in logs) for name in parameters]
    axes += [
        score_axis(objective.metric, trials[objective.column], flip=objective.ascending)
        for objective in results.objectives
        if objective.column in trials
    ]
    return Parallel(
        tuple(trials["trial"]),
        tuple(axes),
        len(trials),
        len(ranked),
        results.objective.metric,
        tuple(searched[room:]),
    )


def parameter_axis(name: str, column: pd.Series[Any], log: bool) -> Axis:
    """Numbers on their scale, anything else as evenly spaced categories."""
    values = column.tolist()
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _numeric(name, [float(value) for value in values], log, "{:.4g}".format)
    texts = [label(value) for value in values]
    names = sorted(set(texts))
    place = {text: (i + 0.5) / len(names) for i, text in enumerate(names)}
    positions = tuple(place[text] for text in texts)
    return Axis(name, positions, tuple(texts), tuple((place[text], text) for text in names))


def score_axis(metric: str, column: pd.Series[Any], *, flip: bool) -> Axis:
    """A score, with the better end on top; far outliers lie on the bottom end.

    The view spans the best value to the 95th percentile: a few bad trials would flatten the rest.
    """
    measure = quantity(metric)
    values = column.astype(float).to_numpy()
    finite = values[np.isfinite(values)]
    if len(finite) >= 20:
        bounds = np.quantile(finite, [0, 0.95] if flip else [0.05, 1])
        values = np.clip(values, *bounds)
    axis = _numeric(measure.header, values.tolist(), False, measure.text)
    texts = tuple(measure.text(value) for value in column.astype(float))
    positions, ticks = axis.positions, axis.ticks
    if flip:
        positions = tuple(1 - position for position in positions)
        ticks = tuple((1 - place, text) for place, text in ticks)
    return Axis(measure.header, positions, texts, ticks)


def _numeric(name: str, values: list[float], log: bool, text: Any) -> Axis:
    scaled = np.asarray(values, dtype=float)
    if log:  # a trial given by hand may be 0: it has no place on the axis
        scaled = np.log(scaled, out=np.full(len(scaled), np.nan), where=scaled > 0)
    finite = scaled[np.isfinite(scaled)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    span = high - low or 1.0
    positions = (scaled - low) / span if high > low else np.where(np.isfinite(scaled), 0.5, np.nan)
    ticks = []
    for place in np.linspace(0, 1, TICKS) if high > low else [0.5]:
        value = low + place * (high - low)
        ticks.append((float(place), text(math.exp(value) if log else value)))
    return Axis(
        name, tuple(positions.tolist()), tuple(text(number) for number in values), tuple(ticks)
    )


def describe(found: Parallel) -> str:
    """What the picture shows, in words."""
    best = ", ".join(f"{axis.title} {axis.texts[0]}" for axis in found.axes)
    return (
        f"{found.shown} of {found.total} finished trials as lines over {len(found.axes)} axes. "
        f"The best, trial {found.trials[0]}: {best}."
    )


def spec(found: Parallel) -> Spec:
    """For the page's own script."""
    return {
        "trials": list(found.trials),
        "axes": [
            {
                "title": axis.title,
                "positions": rounded(axis.positions, 4),
                "texts": list(axis.texts),
                "ticks": [[round(place, 4), text] for place, text in axis.ticks],
            }
            for axis in found.axes
        ],
    }


def draw(found: Parallel) -> Figure:
    """For paper; better trials lighter and drawn last."""
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    count = len(found.axes)
    figure = Figure(figsize=(max(PANEL[0], 1.25 * count), PANEL[1]), layout="constrained")
    axes = figure.subplots()
    heights = np.asarray([axis.positions for axis in found.axes]).T[::-1]
    lines = [np.column_stack([np.arange(count), row]) for row in heights]
    shades = colormaps["viridis"](np.linspace(1, 0, len(lines))[::-1])
    axes.add_collection(LineCollection(lines, colors=list(shades), linewidths=0.7, alpha=0.7))
    for number, axis in enumerate(found.axes):
        axes.axvline(number, color="#999999", linewidth=0.8)
        for place, text in axis.ticks:
            axes.text(number, place, f" {text}", fontsize=6, va="center")
    axes.set(xlim=(-0.2, count - 0.6), ylim=(-0.04, 1.04), yticks=[])
    axes.set_xticks(range(count), [axis.title for axis in found.axes], rotation=20, fontsize=7)
    axes.spines[:].set_visible(False)
    return figure


def plot(found: Parallel) -> Plot:
    """The figure."""
    return Plot(
        "parallel_coordinates",
        "Parallel coordinates",
        describe(found),
        "",
        spec(found),
        lambda: draw(found),
    )
