"""Thin drawing functions that several parts share: data in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.base import COLORS
from analysis.figures.pictures import to_pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXEL = 3 / 150  # inches: three dots of the figure's resolution, so that all pixels are alike
GAP = 2  # pixels between pictures
TRAINING, VALIDATION, MUTED = COLORS["--reference"], COLORS["--best"], COLORS["--muted"]


@dataclass(frozen=True)
class Line:
    """A curve; `values` by epoch."""

    label: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    color: str


@dataclass(frozen=True)
class Curves:
    """Curves of one quantity, with levels to compare with as (label, value)."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    levels: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Strip:
    """A row of pictures `(N, C, H, W)`; `texts` stand below them."""

    label: str
    images: NDArray[Any]
    texts: tuple[str, ...] = ()
    muted: bool = False


def curves(info: Curves) -> Figure:
    """One panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    draw_curves(figure.subplots(), info)
    return figure


def draw_curves(axes: Axes, info: Curves) -> None:
    """Into given axes."""
    from matplotlib.ticker import MaxNLocator

    for line in info.lines:
        axes.plot(line.epochs, line.values, color=line.color, marker="o", ms=3, label=line.label)
    for label, value in info.levels:
        axes.axhline(value, color=MUTED, linestyle="--", linewidth=1, label=label)
    axes.set(title=info.title, xlabel=info.x, ylabel=info.y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if len(info.lines) + len(info.levels) > 1:
        axes.legend(frameon=False, fontsize="small")


def sheet(title: str, strips: Sequence[Strip], columns: Sequence[str] = ()) -> Figure:
    """Rows of pictures under a title, with headings over the columns."""
    from matplotlib.figure import Figure

    rows, side = strips[0].images.shape[-2:]
    tile, step = side * PIXEL, (side + GAP) * PIXEL
    count = max(len(strip.images) for strip in strips)
    longest = max(len(line) for strip in strips for line in strip.label.split("\n"))
    left = 0.2 + 0.08 * longest
    headings = [_wrapped(heading) for heading in columns]
    top = 0.45 + 0.13 * max((heading.count("\n") + 1 for heading in headings), default=0)
    below = [0.2 if strip.texts else GAP * PIXEL for strip in strips]
    width = max(left + count * step + 0.15, 0.095 * len(title))
    height = top + sum(below) + len(strips) * rows * PIXEL + 0.05
    figure = Figure(figsize=(width, height))
    figure.suptitle(title, fontsize=11, y=1 - 0.2 / height, va="center")
    for place, heading in enumerate(headings):
        where = _at(figure, left + place * step + tile / 2, height - top + 0.05)
        figure.text(*where, heading, fontsize=7, ha="center", va="bottom")
    y = height - top
    for strip, gap in zip(strips, below, strict=True):
        y -= rows * PIXEL
        _strip(figure, strip, left, y)
        y -= gap
    return figure


def _wrapped(heading: str) -> str:
    """A long heading on two lines, as columns are narrow."""
    return heading.replace(" ", "\n", 1) if len(heading) > 10 else heading


def _strip(figure: Figure, strip: Strip, left: float, y: float) -> None:
    images = to_pixels(strip.images)
    rows, side = images.shape[1:3]
    picture = _joined(images)
    size = _at(figure, picture.shape[1] * PIXEL, rows * PIXEL)
    axes = figure.add_axes((*_at(figure, left, y), *size))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    figure.text(
        *_at(figure, left - 0.08, y + rows * PIXEL / 2), strip.label,
        fontsize=8, ha="right", va="center", color=MUTED if strip.muted else "black",
    )  # fmt: skip
    for place, text in enumerate(strip.texts):
        where = _at(figure, left + (place * (side + GAP) + side / 2) * PIXEL, y - 0.03)
        figure.text(*where, text, fontsize=6.5, ha="center", va="top")


def _joined(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images `(N, H, W[, 3])` side by side, white between them."""
    gap = np.full((images.shape[1], GAP, *images.shape[3:]), 255, np.uint8)
    parts = [images[0]]
    for image in images[1:]:
        parts += [gap, image]
    return np.concatenate(parts, axis=1)


def _at(figure: Figure, x: float, y: float) -> tuple[float, float]:
    """Inches from the lower left corner as shares of the figure."""
    width, height = figure.get_size_inches()
    return x / width, y / height


def tiles(title: str, images: NDArray[Any], columns: int) -> Figure:
    """Many pictures under a title, `columns` per row."""
    strips = [Strip("", images[i : i + columns]) for i in range(0, len(images), columns)]
    return sheet(title, strips)


def panel(title: str, note: str) -> Figure:
    """A title panel for a talk."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 5.4), facecolor="#f6f4ee")
    figure.text(0.5, 0.57, title, fontsize=32, weight="bold", ha="center", va="center")
    figure.text(0.5, 0.42, note, fontsize=16, ha="center", va="center", color="#555555")
    figure.add_artist(_rule())
    return figure


def _rule() -> Any:
    from matplotlib.lines import Line2D

    return Line2D((0.36, 0.64), (0.49, 0.49), color=TRAINING, linewidth=2)


def notice(title: str, text: str) -> Figure:
    """In place of a figure that a run has no data for."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2))
    figure.text(0.5, 0.6, title, fontsize=14, weight="bold", ha="center", va="center")
    figure.text(0.5, 0.45, text, fontsize=11, ha="center", va="center", wrap=True)
    return figure


def matrix(
    axes: Axes,
    title: str,
    shares: NDArray[np.float64],
    names: Sequence[str],
    labels: tuple[str, str],
) -> None:
    """A confusion matrix; rows are shares of the true class, in percent."""
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        percent, color = f"{100 * share:.0f}", "white" if share > 0.5 else "black"
        if percent != "0":
            axes.text(column, row, percent, ha="center", va="center", fontsize=7, color=color)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
