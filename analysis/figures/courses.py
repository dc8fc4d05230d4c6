"""Curves of a few chosen trials, each in a colour of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.base import (
    CLASS_COLORS,
    PER_TRIAL,
    Plot,
    Spec,
    axis,
    epoch_axis,
    panels,
    paper_legend,
    rounded,
)
from analysis.figures.curves import Curve
from analysis.statistics.quantities import Quantity, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Courses:
    """`metric` over epochs of the chosen trials, as many as there are colours at most."""

    metric: str
    curves: tuple[Curve, ...]

    @property
    def quantity(self) -> Quantity:
        """How the values are called and printed."""
        return quantity(self.metric)


def describe(courses: Courses) -> str:
    """What the picture shows, in words."""
    ends = [
        f"trial {curve.trial} ends at {courses.quantity.text(curve.values[-1])}"
        for curve in courses.curves
    ]
    return f"{courses.quantity.header} against epochs: {'; '.join(ends)}."


def spec(courses: Courses) -> Spec:
    """For the page."""
    traces = [
        {
            "type": "scatter", "mode": "lines+markers", "name": f"trial {curve.trial}",
            "x": list(curve.epochs), "y": rounded(curve.values),
            "meta": PER_TRIAL, "text": [curve.trial] * len(curve.epochs),
            "hovertemplate": "trial %{text}<br>epoch %{x}: %{y:.5g}<extra></extra>",
            "line": {"color": color, "width": 2}, "marker": {"size": 5, "color": color},
        }
        for curve, color in zip(courses.curves, CLASS_COLORS, strict=False)
    ]  # fmt: skip
    last = max((epoch for curve in courses.curves for epoch in curve.epochs), default=1)
    return {"data": traces, "layout": {"xaxis": epoch_axis(last), "yaxis": axis("")}}


def draw(courses: Courses) -> Figure:
    """For paper."""
    figure, (axes,) = panels(1)
    for curve, color in zip(courses.curves, CLASS_COLORS, strict=False):
        axes.plot(curve.epochs, curve.values, "o-", ms=2.5, color=color, label=curve.trial)
    axes.set(xlabel="epoch", ylabel=courses.quantity.header)
    paper_legend(figure)
    return figure


def plot(courses: Courses) -> Plot:
    """The figure of one metric."""
    return Plot(
        f"compared_{courses.metric.replace('/', '_')}",
        courses.quantity.header,
        describe(courses),
        "",
        spec(courses),
        lambda: draw(courses),
    )
