"""Groups side by side: every finished trial's score in each group, with the median and the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.figures.base import COLORS, PANEL, Plot, Spec, axis, rounded, sensible_range
from analysis.statistics.quantities import quantity
from analysis.tracker.results import StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 400  # points of each group


@dataclass(frozen=True)
class Group:
    """Scores of finished trials, best first; `shown` are those that are drawn."""

    label: str
    scores: tuple[float, ...]
    shown: tuple[tuple[str, float], ...]

    @property
    def median(self) -> float:
        """NaN without a finished trial."""
        return float(np.median(self.scores)) if self.scores else float("nan")


@dataclass(frozen=True)
class Groups:
    """One line of points per group."""

    metric: str
    groups: tuple[Group, ...]


def info(groups: Sequence[tuple[str, StudyResults]], limit: int = SHOWN) -> Groups:
    """Groups by label; all must share their first objective."""
    metric = groups[0][1].objective.metric
    lines = []
    for label, results in groups:
        ranked = results.ranked
        column = results.objective.column
        scores = ranked[column].astype(float).tolist() if column in ranked else []
        rows = np.arange(len(scores))
        if len(rows) > limit:
            drawn = np.random.default_rng(0).permutation(np.arange(1, len(rows)))[: limit - 1]
            rows = np.sort(np.append(drawn, 0))
        names = ranked["trial"].tolist()
        lines.append(Group(label, tuple(scores), tuple((names[i], scores[i]) for i in rows)))
    return Groups(metric, tuple(lines))


def describe(found: Groups) -> str:
    """What the picture shows, in words."""
    metric = quantity(found.metric)
    parts = [
        f"{group.label}: best {metric.text(group.scores[0])}, median {metric.text(group.median)}, "
        f"{len(group.scores)} trials"
        for group in found.groups
        if group.scores
    ]
    return f"{metric.header} of finished trials by group. " + "; ".join(parts) + "."


def _jitter(count: int) -> list[float]:
    """Heights around a line that keep points apart; the best stays on it."""
    heights = np.random.default_rng(0).uniform(-0.28, 0.28, count)
    heights[:1] = 0
    return [float(height) for height in heights]


def spec(found: Groups) -> Spec:
    """For the page."""
    traces: list[Spec] = []
    for place, group in enumerate(found.groups):
        if not group.scores:
            continue
        heights = [place + offset for offset in _jitter(len(group.shown))]
        traces += [
            {
                "type": "scatter", "mode": "markers", "name": group.label,
                "x": rounded([score for _, score in group.shown]), "y": rounded(heights, 4),
                "text": [trial for trial, _ in group.shown], "showlegend": False,
                "marker": {"color": "--finished", "size": 5, "opacity": 0.5},
                "hovertemplate": "trial %{text}: %{x:.5g}<extra></extra>",
            },
            _mark("best", [group.scores[0]], place, "--best", "circle", first=not traces),
            _mark("median", [group.median], place, "--reference", "line-ns-open", first=not traces),
        ]  # fmt: skip
    scores = [score for group in found.groups for score in group.scores]
    x_axis = axis(quantity(found.metric).header)
    if limits := sensible_range(scores):
        x_axis["range"] = list(limits)
    labels = [group.label for group in found.groups]
    layout = {
        "xaxis": x_axis,
        "yaxis": axis("", tickvals=list(range(len(labels))), ticktext=labels, autorange="reversed"),
        "height": 130 + 54 * len(labels),
    }
    return {"data": traces, "layout": layout}


def _mark(name: str, x: list[float], place: int, color: str, symbol: str, *, first: bool) -> Spec:
    marker = {"color": color, "size": 11 if symbol == "circle" else 22, "symbol": symbol}
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": rounded(x), "y": [place],
        "marker": marker | {"line": {"width": 3 if symbol != "circle" else 0}},
        "legendgroup": name, "showlegend": first,
        "hovertemplate": f"{name}: %{{x:.5g}}<extra></extra>",
    }  # fmt: skip


def draw(found: Groups) -> Figure:
    """For paper."""
    from matplotlib.figure import Figure

    count = len(found.groups)
    figure = Figure(figsize=(PANEL[0] * 1.3, 0.9 + 0.5 * count), layout="constrained")
    axes = figure.subplots()
    for place, group in enumerate(found.groups):
        heights = [place + offset for offset in _jitter(len(group.shown))]
        scores = [score for _, score in group.shown]
        axes.plot(scores, heights, ".", ms=3, alpha=0.5, color=COLORS["--finished"])
        if group.scores:
            axes.plot([group.median], [place], "|", ms=16, mew=2, color=COLORS["--reference"])
            axes.plot([group.scores[0]], [place], "o", ms=6, color=COLORS["--best"])
    axes.set_yticks(range(count), [group.label for group in found.groups])
    axes.invert_yaxis()
    if limits := sensible_range([score for group in found.groups for score in group.scores]):
        axes.set_xlim(*limits)
    axes.set_xlabel(f"{quantity(found.metric).header}; dot: best, bar: median")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot(found: Groups) -> Plot:
    """The figure."""
    return Plot("groups", "Scores by group", describe(found), "", spec(found), lambda: draw(found))
