"""Importance of each hyperparameter by two methods, beside what chance would give."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.figures.base import COLORS, PANEL, Plot, Spec, axis, paper_legend, rounded
from analysis.statistics.importance import Importance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = (
    ("ped_anova", "PED-ANOVA: for reaching the best trials", "--finished"),
    ("fanova", "fANOVA: over the whole range", "--reference"),
)


def known(importance: Importance) -> Importance | None:
    """The importance if any parameter has a finite share, else None: there is nothing to draw."""
    finite = [p for p in importance.parameters if math.isfinite(p.mean)]
    return importance if finite else None


def describe(importance: Importance) -> str:
    """What the picture shows, in words."""
    shares = ", ".join(f"{p.name} {p.mean:.0%}" for p in importance.parameters)
    return f"Share of importance, mean of two methods, of {importance.trials} trials: {shares}."


def spec(importance: Importance) -> Spec:
    """For the page: horizontal bars, the most important on top."""
    bottom_up = importance.parameters[::-1]
    names = [parameter.name for parameter in bottom_up]
    traces: list[Spec] = [
        {
            "type": "bar", "orientation": "h", "name": label, "y": names,
            "x": rounded([getattr(parameter, field) for parameter in bottom_up], 4),
            "marker": {"color": color}, "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
        }
        for field, label, color in METHODS[::-1]
    ]  # fmt: skip
    traces.append(
        {
            "type": "scatter", "mode": "markers", "name": "PED-ANOVA by chance (95 %)", "y": names,
            "x": rounded([parameter.chance for parameter in bottom_up], 4),
            "marker": {"color": "--best", "symbol": "line-ns-open", "size": 14,
                       "line": {"width": 2}},
            "hovertemplate": "%{y}: %{x:.1%} by chance<extra></extra>",
        }
    )  # fmt: skip
    layout = {
        "barmode": "group",
        "xaxis": axis("share of importance", tickformat=".0%", rangemode="tozero"),
        "yaxis": axis(""),
        "height": 130 + 44 * len(names),
        "showlegend": False,
    }
    return {"data": traces, "layout": layout}


def legend() -> tuple[tuple[str, str], ...]:
    """Label and colour of what is drawn."""
    methods = tuple((label, color) for _, label, color in METHODS)
    return (*methods, ("PED-ANOVA's share by chance (95 %)", "--best"))


def draw(importance: Importance) -> Figure:
    """For paper."""
    from matplotlib.figure import Figure

    count = len(importance.parameters)
    figure = Figure(figsize=(PANEL[0] * 1.3, 1.1 + 0.42 * count), layout="constrained")
    axes = figure.subplots()
    places = range(count)
    for offset, (field, label, color) in zip((-0.19, 0.19), METHODS, strict=True):
        shares = [getattr(parameter, field) for parameter in importance.parameters]
        axes.barh(
            [i + offset for i in places], shares, height=0.36, color=COLORS[color], label=label
        )
    chance = [parameter.chance for parameter in importance.parameters]
    axes.plot(chance, [i - 0.19 for i in places], "|", color=COLORS["--best"], ms=9, mew=1.8,
              label="PED-ANOVA by chance (95 %)")  # fmt: skip
    axes.set_yticks(list(places), [parameter.name for parameter in importance.parameters])
    axes.invert_yaxis()
    axes.set_xlabel("share of importance")
    axes.spines[["top", "right"]].set_visible(False)
    paper_legend(figure, columns=1)
    return figure


def plot(importance: Importance) -> Plot:
    """The figure."""
    return Plot(
        "importance",
        "Which hyperparameters mattered",
        describe(importance),
        "",
        spec(importance),
        lambda: draw(importance),
    )
