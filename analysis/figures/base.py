"""What figures share: the `Plot` type, colours, axes for the page (plotly) and for papers.

On the page a colour written "--name" is looked up in the style sheet, so that it suits light and
dark; `COLORS` holds the same names for paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Spec = dict[str, Any]

PER_TRIAL = "trials"  # a trace's `meta`: its texts are the keys of its points' trials,
PER_CURVE = "curves"  # or of those of its curves, which gaps in x keep apart

COLORS = {
    "--best": "#c8375a",
    "--reference": "#1769aa",
    "--finished": "#3f7d6e",
    "--pruned": "#a9a294",
    "--muted": "#8a8577",
    "--other": "#b8772e",
}
CLASS_COLORS = (
    "#3b78c2", "#e08a2b", "#3f9b57", "#d2504f", "#8f6bc1",
    "#94694f", "#d674b1", "#7f8790", "#a8a431", "#27a3b4",
)  # fmt: skip
FEW_EPOCHS = 10  # of which each has its tick
PANEL = (4.2, 3.0)  # inches of one panel on paper


@dataclass(frozen=True)
class Plot:
    """A figure, ready to be drawn.

    Attributes:
        name: stem of its files.
        title: short; the caption says how to read it.
        alt: what it shows, in words with numbers, for those who do not see it.
        spec: plotly's data and layout for the page.
        paper: draws the same with matplotlib.
    """

    name: str
    title: str
    alt: str
    caption: str
    spec: Spec
    paper: Callable[[], Figure]


def axis(title: str, *, log: bool = False, **extra: Any) -> Spec:
    """A plotly axis. A log axis wants `log_ticks` among `extra`: plotly's own are hard to read."""
    scale: Spec = {"type": "log"} if log else {}
    if title:
        scale["title"] = {"text": title}
    return {"automargin": True, **scale, **extra}


def epoch_axis(last: int) -> Spec:
    """The axis of epochs 1 to `last`: no ticks between whole ones."""
    return axis("epoch", dtick=1) if last <= FEW_EPOCHS else axis("epoch")


def log_ticks(low: float, high: float) -> Spec:
    """Ticks of a log axis at 1, 2 and 5 of each decade, or at 1 alone over more than two.

    Both limits must be positive.
    """
    steps = (1, 2, 5) if high < 300 * low else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    places = [step * 10.0**decade for decade in decades for step in steps]
    inside = [place for place in places if 0.999 * low <= place <= 1.001 * high]
    return {"tickvals": inside, "ticktext": [f"{place:g}" for place in inside]}


def panels(count: int, *, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """An empty paper figure with `count` axes, without pyplot's global state."""
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = math.ceil(count / columns)
    width, height = PANEL
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        spare.remove()
    for panel in axes[:count]:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes[:count]


def paper_legend(figure: Figure, columns: int = 3) -> None:
    """One legend above the panels: inside, matplotlib would search long for an empty corner."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=columns,
            frameon=False,
            fontsize="small",
        )


def rounded(values: Sequence[float] | np.ndarray[Any, Any], digits: int = 5) -> list[float | None]:
    """Values with `digits` significant digits, NaN and infinity as None; makes the page smaller."""
    return [
        float(f"{value:.{digits}g}") if math.isfinite(value) else None
        for value in np.asarray(values, dtype=float).tolist()
    ]


def sensible_range(
    values: Sequence[float] | np.ndarray[Any, Any], *, share: float = 0.95
) -> tuple[float, float] | None:
    """Limits that show the better part where a few values lie far out; None if none do.

    The middle `share` of the values is taken, and kept only if it is under a third of the whole.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if len(finite) < 10:
        return None
    low, high = np.quantile(finite, [(1 - share) / 2, (1 + share) / 2])
    whole = float(np.ptp(finite))
    if high <= low or (high - low) > whole / 3:
        return None
    margin = 0.08 * (high - low)
    return max(float(finite.min()), float(low)) - margin, min(
        float(finite.max()), float(high)
    ) + margin
