"""Learning curves: a metric against epochs, for the best, the reference and a fair sample."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.figures.base import (
    COLORS,
    PER_CURVE,
    Plot,
    Spec,
    axis,
    epoch_axis,
    panels,
    paper_legend,
    rounded,
)
from analysis.statistics.quantities import quantity
from analysis.tracker.results import StudyResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 150  # curves; more of them hide each other
GROUPS = {
    "pruned": ("pruned", "--pruned", 1.0),
    "other": ("failed or running", "--other", 1.0),
    "finished": ("finished", "--finished", 1.2),
    "reference": ("reference", "--reference", 2.5),
    "best": ("best trial", "--best", 3.0),
}
"""Drawn in this order: label, colour, width of the line."""


@dataclass(frozen=True)
class Curve:
    """One trial's values; `epochs` count from 1."""

    trial: str
    group: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Curves:
    """Curves of `metric`; `shown` of `total` trials that reported an epoch were chosen."""

    metric: str
    curves: tuple[Curve, ...]
    shown: int
    total: int

    def of(self, group: str) -> list[Curve]:
        """The curves of one of `GROUPS`."""
        return [curve for curve in self.curves if curve.group == group]


def choose(results: StudyResults, limit: int = SHOWN) -> pd.DataFrame:
    """At most `limit` search trials that reported an epoch: reference, best, pruned, any other.

    A third are the best, a third are pruned ones, the rest any; drawn with a fixed seed, so that
    the same study gives the same picture.
    """
    started = results.search[results.search["epochs"].fillna(0) > 0]
    if len(started) <= limit:
        return started
    rng = np.random.default_rng(0)
    best = results.ranked.index[: limit // 3]
    reference = started.index[started["reference"]][:1]
    pruned = started.index[started["status"] == "pruned"]
    trials = reference.union(best, sort=False)
    trials = trials.union(_draw(pruned, limit // 3, rng), sort=False)[:limit]
    rest = started.index.difference(trials)
    return started.loc[trials.union(_draw(rest, limit - len(trials), rng), sort=False)]


def _draw(index: pd.Index, count: int, rng: np.random.Generator) -> pd.Index:
    return index[rng.permutation(len(index))[:count]]


def info(results: StudyResults, chosen: pd.DataFrame, history: pd.DataFrame, metric: str) -> Curves:
    """Curves of `metric`; `history` is of the `chosen` trials, as `runs.histories` gives it."""
    finite = np.isfinite(history["value"].astype(float))
    rows = history[(history["metric"] == metric) & finite].sort_values("epoch", kind="stable")
    by_run = dict(iter(rows.groupby("run_id", sort=False)))
    winner = None if results.winner is None else results.winner["trial"]
    curves = [
        Curve(
            row["trial"],
            _group(row, winner),
            tuple(by_run[row["run_id"]]["epoch"].tolist()),
            tuple(by_run[row["run_id"]]["value"].tolist()),
        )
        for row in chosen.to_dict("records")
        if row["run_id"] in by_run
    ]
    total = int((results.search["epochs"].fillna(0) > 0).sum())
    return Curves(metric, tuple(curves), len(curves), total)


def _group(row: Mapping[Hashable, Any], winner: str | None) -> str:
    if row["trial"] == winner:
        return "best"
    if row["reference"]:
        return "reference"
    return str(row["status"]) if row["status"] in ("pruned", "finished") else "other"


def describe(curves: Curves) -> str:
    """What the picture shows, in words."""
    measure = quantity(curves.metric)
    parts = [f"{measure.header} against epochs for {curves.shown} of {curves.total} trials"]
    for group, name in (("best", "the best trial"), ("reference", "the reference")):
        parts += [
            f"{name} ({curve.trial}) ends at {measure.text(curve.values[-1])}"
            for curve in curves.of(group)[:1]
        ]
    if pruned := len(curves.of("pruned")):
        parts.append(f"{pruned} of the curves end early because they were pruned")
    return "; ".join(parts) + "."


def visible_range(curves: Curves) -> tuple[float, float] | None:
    """Limits that show where trials end up rather than where they start.

    The worst final value of a finished trial bounds the view, with a third of the spread beyond.
    """
    finals = [c.values[-1] for c in curves.curves if c.group in ("best", "reference", "finished")]
    if len(finals) < 3:
        return None
    low, high = min(finals), max(finals)
    everything = [value for curve in curves.curves for value in curve.values]
    margin = max((high - low) / 3, 1e-9 + abs(high) * 0.01)
    low, high = max(low - margin, min(everything)), min(high + margin, max(everything))
    pad = 0.04 * (high - low)
    return low - pad, high + pad


def whole_range(curves: Curves) -> tuple[float, float]:
    """Limits that hold every value."""
    values = [value for curve in curves.curves for value in curve.values]
    pad = 0.04 * (max(values) - min(values))
    return min(values) - pad, max(values) + pad


@dataclass(frozen=True)
class View:
    """What several panels show alike: limits of the values, and the last epoch."""

    limits: tuple[float, float]
    epochs: int


def common_view(panels: Sequence[Curves]) -> View:
    """The same view for all `panels` (one or more, each with curves): none is cut more than alone.

    A panel of which `visible_range` can say nothing counts with all its values.
    """
    ranges = [visible_range(panel) or whole_range(panel) for panel in panels]
    last = max(epoch for panel in panels for curve in panel.curves for epoch in curve.epochs)
    return View((min(low for low, _ in ranges), max(high for _, high in ranges)), last)


def spec(curves: Curves, view: View | None = None) -> Spec:
    """For the page: one trace per group, gaps between trials, so that thousands stay quick."""
    traces: list[Spec] = []
    for group, (label, color, width) in GROUPS.items():
        members = curves.of(group)
        if not members:
            continue
        x, y = _joined(members)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if len(x) > len(members) * 2 else "lines+markers",
                "name": label, "x": x, "y": rounded(y), "connectgaps": False,
                "meta": PER_CURVE, "text": [curve.trial for curve in members],
                "line": {"color": color, "width": width},
                "opacity": 1.0 if width > 2 else 0.45,
                "hovertemplate": (
                    f"trial %{{text}}<br>epoch %{{x}}: %{{y:.5g}}<extra>{label}</extra>"
                ),
            }
        )  # fmt: skip
    y_axis = axis("")
    if limits := view.limits if view else visible_range(curves):
        y_axis["range"] = list(limits)
    x_axis = epoch_axis(max((curve.epochs[-1] for curve in curves.curves), default=1))
    if view:
        x_axis["range"] = [0.5, view.epochs + 0.5]
    layout = {
        "xaxis": x_axis, "yaxis": y_axis, "hovermode": "closest", "showlegend": False,
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def _joined(members: Sequence[Curve]) -> tuple[list[int | None], list[float]]:
    x: list[int | None] = []
    y: list[float] = []
    for curve in members:
        x += [*curve.epochs, None]
        y += [*curve.values, float("nan")]
    return x, y


def draw(axes: Axes, curves: Curves, view: View | None = None) -> None:
    """For paper."""
    for group, (label, color, width) in GROUPS.items():
        for number, curve in enumerate(curves.of(group)):
            axes.plot(
                curve.epochs,
                curve.values,
                color=COLORS[color],
                linewidth=width * 0.6,
                alpha=1.0 if width > 2 else 0.35,
                marker="." if len(curve.epochs) == 1 else None,
                label=label if number == 0 else None,
            )
    axes.set(xlabel="epoch", ylabel=quantity(curves.metric).header)
    if limits := view.limits if view else visible_range(curves):
        axes.set_ylim(*limits)
    if view:
        axes.set_xlim(0.5, view.epochs + 0.5)


def legend() -> tuple[tuple[str, str], ...]:
    """Label and colour of each group, for a legend that several plots share."""
    return tuple((label, color) for label, color, _ in reversed(GROUPS.values()))


def plot(curves: Curves, view: View | None = None) -> Plot:
    """The figure of one metric; with a `view`, on the scale of its neighbours."""
    measure = quantity(curves.metric)

    def paper() -> Figure:
        figure, (axes,) = panels(1)
        draw(axes, curves, view)
        paper_legend(figure)
        return figure

    stem = curves.metric.replace("/", "_")
    return Plot(
        f"learning_curves_{stem}", measure.header, describe(curves), "", spec(curves, view), paper
    )
