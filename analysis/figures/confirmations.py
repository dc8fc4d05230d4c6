"""Confirmed scores: each configuration's seeds, mean and interval, and the search's score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.base import COLORS, PANEL, Plot, Spec, axis, paper_legend, rounded
from analysis.statistics.confirmation import Confirmation
from analysis.statistics.quantities import Quantity, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Line:
    """One configuration: `scores` by seed, the interval's middle and ends, the search's score."""

    label: str
    color: str
    scores: tuple[float, ...]
    mean: float
    low: float
    high: float
    searched: float | None


@dataclass(frozen=True)
class Forest:
    """Lines in the search's order, the winner first."""

    metric: str
    lines: tuple[Line, ...]

    @property
    def quantity(self) -> Quantity:
        """How the scores are called and printed."""
        return quantity(self.metric)


def info(
    confirmation: Confirmation,
    scores: Mapping[str, Mapping[int, float]],
    labels: Mapping[str, str],
    search_scores: Mapping[str, float],
) -> Forest:
    """`scores` by configuration and seed; `labels` are readable names of configurations."""
    lines = []
    for number, confirmed in enumerate(confirmation.configurations):
        name = confirmed.configuration
        color = "--reference" if name == confirmation.reference else "--finished"
        lines.append(
            Line(
                labels.get(name, name),
                "--best" if number == 0 else color,
                tuple(scores.get(name, {}).values()),
                confirmed.estimate.mean,
                confirmed.estimate.low,
                confirmed.estimate.high,
                search_scores.get(name),
            )
        )
    return Forest(confirmation.metric, tuple(lines))


def describe(forest: Forest) -> str:
    """What the picture shows, in words."""
    measure = forest.quantity
    parts = [
        f"{line.label}: mean {measure.text(line.mean)}, interval {measure.text(line.low)} to "
        f"{measure.text(line.high)}, {len(line.scores)} seeds"
        for line in forest.lines
    ]
    return f"{measure.header} on fresh seeds. " + "; ".join(parts) + "."


def spec(forest: Forest) -> Spec:
    """For the page."""
    labels = [line.label for line in forest.lines]
    bounded = [line for line in forest.lines if math.isfinite(line.low)]
    seeds = [(line.label, score) for line in forest.lines for score in line.scores]
    searched = [line for line in forest.lines if line.searched is not None]
    traces: list[Spec] = [
        {
            "type": "scatter", "mode": "markers", "name": "one seed",
            "y": [label for label, _ in seeds], "x": rounded([score for _, score in seeds]),
            "marker": {"color": "--muted", "size": 7, "opacity": 0.6},
        },
        {
            "type": "scatter", "mode": "markers", "name": "shown by the search (validation)",
            "y": [line.label for line in searched],
            "x": rounded([line.searched or math.nan for line in searched]),
            "marker": {"color": "--other", "size": 10, "symbol": "diamond-open"},
        },
        {
            "type": "scatter", "mode": "markers", "name": "mean and 95 % interval",
            "y": [line.label for line in bounded], "x": rounded([line.mean for line in bounded]),
            "error_x": {
                "type": "data", "array": rounded([line.high - line.mean for line in bounded]),
                "color": "--best", "thickness": 2, "width": 6,
            },
            "marker": {"color": "--best", "size": 10},
        },
    ]  # fmt: skip
    layout = {
        "xaxis": axis(forest.quantity.header),
        "yaxis": axis("", type="category", categoryorder="array", categoryarray=labels[::-1]),
        "height": 150 + 46 * len(labels),
    }
    return {"data": traces, "layout": layout}


def draw(forest: Forest) -> Figure:
    """For paper."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PANEL[0] * 1.3, 1 + 0.4 * len(forest.lines)), layout="constrained")
    axes = figure.subplots()
    for y, line in enumerate(forest.lines):
        axes.plot(line.scores, [y] * len(line.scores), "o", ms=4, alpha=0.5,
                  color=COLORS["--muted"], label="one seed" if y == 0 else None)  # fmt: skip
        if line.searched is not None:
            axes.plot([line.searched], [y], "D", mfc="none", color=COLORS["--other"],
                      label="shown by the search" if y == 0 else None)  # fmt: skip
        if math.isfinite(line.low):
            axes.errorbar([line.mean], [y], xerr=[[line.mean - line.low], [line.high - line.mean]],
                          fmt="o", capsize=3, color=COLORS[line.color],
                          label="mean, 95 % interval" if y == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(forest.lines)), [line.label for line in forest.lines])
    axes.invert_yaxis()
    axes.set_xlabel(forest.quantity.header)
    axes.spines[["top", "right"]].set_visible(False)
    paper_legend(figure)
    return figure


def plot(forest: Forest) -> Plot:
    """The figure."""
    return Plot(
        "confirmation",
        "Confirmed on fresh seeds",
        describe(forest),
        "",
        spec(forest),
        lambda: draw(forest),
    )
