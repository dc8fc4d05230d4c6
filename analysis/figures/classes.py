"""Quality of winner and reference class by class, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.base import COLORS, PANEL, Plot, Spec, axis, paper_legend, rounded
from analysis.statistics.classes import ClassQuality
from analysis.statistics.intervals import MeanInterval
from analysis.statistics.quantities import Quantity, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHIFTS = (-0.13, 0.13)  # of a row, so that no bar hides another
ROLES = {"winner": "--best", "reference": "--reference"}


@dataclass(frozen=True)
class Classes:
    """Classes by name from top to bottom, those first on which the first model does worst."""

    metric: str
    names: tuple[str, ...]
    qualities: tuple[ClassQuality, ...]

    @property
    def quantity(self) -> Quantity:
        """How the scores are called and printed."""
        return quantity(self.metric)

    @property
    def roles(self) -> tuple[str, ...]:
        """The models that were judged."""
        return tuple(self.qualities[0].scores)


def info(metric: str, qualities: Sequence[ClassQuality], names: Sequence[str]) -> Classes:
    """`names` are those of the classes, in the order of `qualities`, which must not be empty."""
    role = next(iter(qualities[0].scores))
    rising = 1 if quantity(metric).direction == "maximize" else -1
    order = sorted(range(len(names)), key=lambda place: rising * qualities[place].scores[role].mean)
    return Classes(
        metric, tuple(names[place] for place in order), tuple(qualities[place] for place in order)
    )


def describe(classes: Classes) -> str:
    """What the picture shows, in words."""
    measure = classes.quantity
    role = classes.roles[0]
    worst, best = classes.qualities[0].scores[role].mean, classes.qualities[-1].scores[role].mean
    return (
        f"{measure.header} of {' and '.join(classes.roles)} class by class: of the {role} from "
        f"{measure.text(worst)} ({classes.names[0]}) to {measure.text(best)} ({classes.names[-1]})."
    )


def _half(estimate: MeanInterval) -> float:
    return estimate.half_width if math.isfinite(estimate.half_width) else 0.0


def spec(classes: Classes) -> Spec:
    """For the page."""
    traces = [
        {
            "type": "scatter", "mode": "markers", "name": role, "text": list(classes.names),
            "y": [place + shift for place in range(len(classes.names))],
            "x": rounded([quality.scores[role].mean for quality in classes.qualities]),
            "error_x": {
                "type": "data", "color": ROLES[role], "thickness": 1.5, "width": 4,
                "array": rounded([_half(quality.scores[role]) for quality in classes.qualities]),
            },
            "marker": {"color": ROLES[role], "size": 9},
            "hovertemplate": f"%{{text}}: %{{x:.4g}}<extra>{role}</extra>",
        }
        for role, shift in zip(classes.roles, SHIFTS, strict=False)
    ]  # fmt: skip
    layout = {
        "xaxis": axis(classes.quantity.header),
        "yaxis": axis(
            "",
            autorange="reversed",
            tickvals=list(range(len(classes.names))),
            ticktext=list(classes.names),
            zeroline=False,
        ),
        "height": 150 + 28 * len(classes.names),
    }
    return {"data": traces, "layout": layout}


def draw(classes: Classes) -> Figure:
    """For paper."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PANEL[0] * 1.3, 1 + 0.28 * len(classes.names)), layout="constrained")
    axes = figure.subplots()
    places = range(len(classes.names))
    for role, shift in zip(classes.roles, SHIFTS, strict=False):
        estimates = [quality.scores[role] for quality in classes.qualities]
        axes.errorbar([estimate.mean for estimate in estimates],
                      [place + shift for place in places], fmt="o", ms=4, capsize=2,
                      xerr=[_half(estimate) for estimate in estimates],
                      color=COLORS[ROLES[role]], label=role)  # fmt: skip
    axes.set_yticks(places, list(classes.names))
    axes.invert_yaxis()
    axes.set_xlabel(classes.quantity.header)
    axes.spines[["top", "right"]].set_visible(False)
    paper_legend(figure)
    return figure


def plot(classes: Classes) -> Plot:
    """The figure."""
    name = f"per_class_{classes.metric.rpartition('/')[2]}"
    return Plot(name, "", describe(classes), "", spec(classes), lambda: draw(classes))
