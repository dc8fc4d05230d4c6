"""The report's first figure: trained configurations among the baselines, on one split and axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.base import COLORS, PANEL, Plot, Spec, axis, rounded
from analysis.statistics.quantities import Quantity, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEAR = 2.0  # baselines farther off than so many times the spread would flatten the rest


@dataclass(frozen=True)
class Mark:
    """A score with its name; `low` and `high` are its interval, None where it has none."""

    name: str
    color: str
    score: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The interval, or the score twice."""
        return (
            self.score if self.low is None else self.low,
            self.score if self.high is None else self.high,
        )


@dataclass(frozen=True)
class Message:
    """`trained` and `baselines` from top to bottom; `beyond` lie off the axis."""

    metric: str
    trained: tuple[Mark, ...]
    baselines: tuple[Mark, ...]
    beyond: tuple[Mark, ...]

    @property
    def quantity(self) -> Quantity:
        """How the scores are called and printed."""
        return quantity(self.metric)

    @property
    def rows(self) -> tuple[Mark, ...]:
        """All that is drawn, from top to bottom."""
        return (*self.trained, *self.baselines)


def info(metric: str, trained: Sequence[Mark], baselines: Sequence[Mark]) -> Message:
    """Baselines best first; those too far off are named in the caption alone.

    `trained` must not be empty.
    """
    ends = [end for mark in trained for end in mark.ends]
    low, high = min(ends), max(ends)
    reach = NEAR * (high - low)
    nearest = min((_off(mark, low, high) for mark in baselines), default=0.0)
    reach = max(reach, nearest)
    best = quantity(metric).direction == "maximize"
    ordered = sorted(baselines, key=lambda mark: mark.score, reverse=best)
    near = tuple(mark for mark in ordered if _off(mark, low, high) <= reach)
    beyond = tuple(mark for mark in ordered if mark not in near)
    return Message(metric, tuple(trained), near, beyond)


def _off(mark: Mark, low: float, high: float) -> float:
    return max(low - mark.score, mark.score - high, 0.0)


def describe(message: Message) -> str:
    """What the picture shows, in words."""
    measure = message.quantity
    parts = [
        f"{mark.name} {measure.text(mark.score)}"
        + ("" if mark.low is None else f" ({' to '.join(map(measure.text, mark.ends))})")
        for mark in message.rows
    ]
    text = f"{measure.header}: {'; '.join(parts)}."
    if message.beyond:
        far = ", ".join(f"{mark.name} {measure.text(mark.score)}" for mark in message.beyond)
        text += f" Off the axis: {far}."
    return text


def spec(message: Message) -> Spec:
    """For the page."""
    names = [mark.name for mark in message.rows]
    traces: list[Spec] = []
    for mark in message.trained:
        low, high = mark.ends
        traces.append(
            {
                "type": "scatter", "mode": "markers", "y": [mark.name], "x": rounded([mark.score]),
                "error_x": {
                    "type": "data", "symmetric": False, "array": rounded([high - mark.score]),
                    "arrayminus": rounded([mark.score - low]), "color": mark.color,
                    "thickness": 2.5, "width": 7,
                },
                "marker": {"color": mark.color, "size": 12}, "showlegend": False,
                "hovertemplate": "%{y}: %{x}<extra></extra>",
            }
        )  # fmt: skip
    traces.append(
        {
            "type": "scatter", "mode": "markers", "showlegend": False,
            "y": [mark.name for mark in message.baselines],
            "x": rounded([mark.score for mark in message.baselines]),
            "marker": {"color": "--other", "size": 9, "symbol": "diamond"},
            "hovertemplate": "%{y}: %{x}<extra></extra>",
        }
    )  # fmt: skip
    lines = [
        {
            "type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1,
            "x0": mark.score, "x1": mark.score, "layer": "below",
            "line": {"color": "--other", "width": 1, "dash": "dot"},
        }
        for mark in message.baselines
    ]  # fmt: skip
    layout = {
        "xaxis": axis(_axis_title(message)),
        "yaxis": axis("", type="category", categoryorder="array", categoryarray=names[::-1]),
        "shapes": lines,
        "height": 110 + 32 * len(names),
    }
    return {"data": traces, "layout": layout}


def _axis_title(message: Message) -> str:
    towards = {"maximize": "larger is better", "minimize": "smaller is better", None: ""}
    side = towards[message.quantity.direction]
    return f"{message.quantity.header}, {side}" if side else message.quantity.header


def draw(message: Message) -> Figure:
    """For paper."""
    from matplotlib.figure import Figure

    height = 0.8 + 0.3 * len(message.rows)
    figure = Figure(figsize=(PANEL[0] * 1.5, height), layout="constrained")
    axes = figure.subplots()
    for place, mark in enumerate(message.rows):
        low, high = mark.ends
        color = COLORS[mark.color]
        if mark in message.baselines:
            axes.axvline(mark.score, color=color, lw=0.8, ls=":", zorder=0)
            axes.plot([mark.score], [place], "D", ms=5, color=color)
        else:
            errors = [[mark.score - low], [high - mark.score]]
            axes.errorbar([mark.score], [place], xerr=errors, fmt="o", capsize=3, color=color)
    axes.set_yticks(range(len(message.rows)), [mark.name for mark in message.rows])
    axes.invert_yaxis()
    axes.set_xlabel(_axis_title(message))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot(message: Message, caption: str) -> Plot:
    """The figure."""
    return Plot("message", "", describe(message), caption, spec(message), lambda: draw(message))
