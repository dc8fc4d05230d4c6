"""The Pareto front of two objectives among all finished trials, with its knee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.figures.base import COLORS, PER_TRIAL, Plot, Spec, axis, panels, paper_legend, rounded
from analysis.statistics.intervals import MeanInterval, mean_interval
from analysis.statistics.pareto import ParetoFront, pareto_front
from analysis.statistics.quantities import quantity
from analysis.tracker.results import CONFIRM, StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 1_500  # points beside the front's own

Point = tuple[str, float, float]


@dataclass(frozen=True)
class Confirmed:
    """A configuration retrained on fresh seeds: both objectives' means with intervals."""

    trial: str
    first: MeanInterval
    second: MeanInterval


@dataclass(frozen=True)
class Front:
    """Trials as (key, first objective, second objective): on the front, the best in the first
    objective first, beside it (`others`, drawn from `total`), and the reference.
    """

    metrics: tuple[str, str]
    members: tuple[Point, ...]
    others: tuple[Point, ...]
    total: int
    knee: str | None
    reference: Point | None
    front: ParetoFront
    confirmed: tuple[Confirmed, ...] = ()

    @property
    def groups(self) -> list[tuple[str, str, tuple[Point, ...]]]:
        """What is drawn, bottom first: label, colour, points."""
        knee = tuple(point for point in self.members if point[0] == self.knee)
        return [
            ("finished trials", "--pruned", self.others),
            ("Pareto front", "--finished", self.members),
            ("reference", "--reference", (self.reference,) if self.reference else ()),
            (f"knee: trial {self.knee}", "--best", knee),
        ]


def info(results: StudyResults, limit: int = SHOWN) -> Front | None:
    """None where the study had one objective or no finished trial has all the scores."""
    objectives = results.objectives
    columns = [objective.column for objective in objectives]
    if len(objectives) < 2 or not set(columns) <= set(results.ranked.columns):
        return None
    named = results.ranked.rename(
        columns={objective.column: objective.metric for objective in objectives}
    )
    front = pareto_front(named, {objective.metric: objective.direction for objective in objectives})
    if not front.members:
        return None
    rows = results.ranked[["trial", *columns[:2]]].dropna()
    keys: dict[Any, str] = dict(zip(rows.index, rows["trial"], strict=True))
    beside = rows.drop(index=list(front.members))
    drawn = np.sort(np.random.default_rng(0).permutation(len(beside))[:limit])
    reference = None
    if results.reference is not None:
        reference = next(iter(_points(rows[rows["trial"] == results.reference["trial"]])), None)
    return Front(
        (results.objectives[0].metric, results.objectives[1].metric),
        _points(rows.loc[list(front.members)]),
        _points(beside.iloc[drawn]),
        len(beside),
        keys.get(front.knee),
        reference,
        front,
        _confirmed(results, columns[0], columns[1]),
    )


def _confirmed(results: StudyResults, first: str, second: str) -> tuple[Confirmed, ...]:
    """Means over the fresh seeds that gave both scores, by the search trial that they repeat."""
    rows = results.trials[results.trials["phase"] == CONFIRM]
    rows = rows[np.isfinite(rows[[first, second]].to_numpy(dtype=float)).all(axis=1)]
    return tuple(
        Confirmed(str(key), mean_interval(own[first].tolist()), mean_interval(own[second].tolist()))
        for key, own in rows.groupby("like")
        if key
    )


def _points(rows: pd.DataFrame) -> tuple[Point, ...]:
    points: list[Any] = list(rows.itertuples(index=False, name=None))
    return tuple(points)


def describe(found: Front) -> str:
    """What the picture shows, in words."""
    first, second = (quantity(metric) for metric in found.metrics)
    text = (
        f"{second.header} against {first.header}: {len(found.members)} trials on the Pareto front, "
        f"{len(found.others)} of {found.total} others shown. "
    )
    if found.confirmed:
        text += f"{len(found.confirmed)} were retrained on fresh seeds: crosses, 95 % intervals. "
    knee = next((point for point in found.members if point[0] == found.knee), None)
    if knee is None:
        return text + found.front.knee_reason.capitalize() + "."
    scores = f"{first.with_unit(knee[1])} and {second.with_unit(knee[2])}"
    return text + f"The knee is trial {knee[0]} with {scores}."


def spec(found: Front) -> Spec:
    """For the page."""
    traces = [
        {
            "type": "scatter", "name": label,
            "mode": "lines+markers" if points is found.members else "markers",
            "x": rounded([point[1] for point in points]),
            "y": rounded([point[2] for point in points]),
            "meta": PER_TRIAL, "text": [point[0] for point in points],
            "line": {"color": color, "shape": "hv", "width": 1.5},
            "marker": {"color": color, "size": 5 if points is found.others else _size(label)},
            "opacity": 0.6 if points is found.others else 1,
            "hovertemplate": f"trial %{{text}}<br>%{{x:.5g}}, %{{y:.5g}}<extra>{label}</extra>",
        }
        for label, color, points in found.groups
        if points
    ]  # fmt: skip
    if found.confirmed:
        traces.append(_confirmed_trace(found.confirmed))
    first, second = (quantity(metric).header for metric in found.metrics)
    return {"data": traces, "layout": {"xaxis": axis(first), "yaxis": axis(second), "height": 420}}


def _size(label: str) -> int:
    return 13 if label == "reference" or label.startswith("knee") else 9


def _confirmed_trace(confirmed: Sequence[Confirmed]) -> Spec:
    def bars(estimates: list[MeanInterval]) -> Spec:
        halves = rounded([estimate.half_width for estimate in estimates])
        return {"type": "data", "array": halves, "color": "--other", "thickness": 1.5, "width": 4}

    firsts, seconds = ([getattr(c, side) for c in confirmed] for side in ("first", "second"))
    return {
        "type": "scatter", "mode": "markers", "name": "retrained: mean, 95 % interval",
        "x": rounded([estimate.mean for estimate in firsts]), "error_x": bars(firsts),
        "y": rounded([estimate.mean for estimate in seconds]), "error_y": bars(seconds),
        "meta": PER_TRIAL, "text": [configuration.trial for configuration in confirmed],
        "marker": {"color": "--other", "size": 8, "symbol": "x"},
        "hovertemplate": "trial %{text}, retrained<br>%{x:.5g}, %{y:.5g}<extra></extra>",
    }  # fmt: skip


def draw(found: Front) -> Figure:
    """For paper."""
    figure, (axes,) = panels(1)
    for label, color, points in found.groups:
        if points:
            x, y = [point[1] for point in points], [point[2] for point in points]
            style = "o-" if points is found.members else "o"
            size = 2 if points is found.others else 4
            axes.plot(x, y, style, ms=size, lw=1, color=COLORS[color], label=label,
                      drawstyle="steps-post")  # fmt: skip
    for place, point in enumerate(found.confirmed):
        axes.errorbar([point.first.mean], [point.second.mean], xerr=[point.first.half_width],
                      yerr=[point.second.half_width], fmt="x", ms=4, lw=1, color=COLORS["--other"],
                      label="retrained: mean, 95 % interval" if place == 0 else None)  # fmt: skip
    axes.set(xlabel=quantity(found.metrics[0]).header, ylabel=quantity(found.metrics[1]).header)
    paper_legend(figure)
    return figure


def plot(found: Front) -> Plot:
    """The figure."""
    return Plot(
        "pareto_front", "Pareto front", describe(found), "", spec(found), lambda: draw(found)
    )
