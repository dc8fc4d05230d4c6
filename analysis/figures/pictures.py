"""Grids of images: rows of small pictures with labels, for the page and for paper."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = NDArray[np.uint8]
GAP = 2  # pixels between the tiles of a montage
INCH_PER_PIXEL = 1 / 48


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture `(H, W)` or `(H, W, 3)` uint8, its text alternative, and a line below it."""

    pixels: Pixels
    alt: str
    text: str = ""

    @property
    def png(self) -> str:
        """The picture as base64 of a PNG, for a data URI."""
        return base64.b64encode(encode_png(self.pixels)).decode()

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.pixels.shape[0])


@dataclass(frozen=True, eq=False)
class Row:
    """Pictures of one kind side by side; `note` stands under the label."""

    label: str
    cells: tuple[Cell, ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Grid:
    """Rows of pictures; `columns` are headings, none or one per cell."""

    name: str
    title: str
    caption: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ()

    @property
    def alt(self) -> str:
        """The grid in one sentence."""
        labels = ", ".join(row.label for row in self.rows)
        return f"{self.title}: rows {labels}; {len(self.rows[0].cells)} pictures in each row."


def to_pixels(images: NDArray[Any]) -> Pixels:
    """`(N, C, H, W)` floats in [0, 1] or uint8 to uint8 `(N, H, W)` or `(N, H, W, 3)`."""
    if images.dtype != np.uint8:
        images = np.rint(np.clip(np.nan_to_num(images), 0, 1) * 255).astype(np.uint8)
    return images[:, 0] if images.shape[1] == 1 else np.moveaxis(images, 1, -1)


def montage(images: Pixels, columns: int, gap: int = GAP) -> Pixels:
    """Images `(N, H, W[, 3])` as one picture with `columns` per row, mid-grey in the gaps."""
    count, height, width = images.shape[:3]
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[3:])
    whole = np.full(shape, 128, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        whole[top : top + height, left : left + width] = image
    return whole


def encode_png(pixels: Pixels) -> bytes:
    """PNG bytes of a picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def row(
    label: str, images: NDArray[Any], what: Sequence[str], *, note: str = "", texts: Any = None
) -> Row:
    """A row of single images; `what` says what each shows, `texts` stand below them."""
    pixels = to_pixels(images)
    below = texts or [""] * len(pixels)
    cells = tuple(
        Cell(each, f"{name}, {label}", text)
        for each, name, text in zip(pixels, what, below, strict=True)
    )
    return Row(label, cells, note)


def draw(grid: Grid) -> Figure:
    """For paper: the same rows, labels left, texts below the pictures."""
    from matplotlib.figure import Figure

    count = max(len(row.cells) for row in grid.rows)
    first = grid.rows[0].cells[0]
    label_inches = 1.5 if any(row.label for row in grid.rows) else 0.0
    size = (
        label_inches + count * first.width * INCH_PER_PIXEL,
        sum(row.cells[0].height * INCH_PER_PIXEL + 0.18 for row in grid.rows),
    )
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(grid.rows), count, squeeze=False)
    for line, entry in zip(axes, grid.rows, strict=True):
        for place, cell in zip(line, entry.cells, strict=False):
            place.imshow(cell.pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            place.set(xticks=[], yticks=[])
            if cell.text:
                place.set_xlabel(cell.text, fontsize=6, labelpad=2)
        for place in line:
            place.spines[:].set_visible(False)
        line[0].set_ylabel(entry.label, rotation=0, ha="right", va="center", fontsize=8)
        for spare in line[len(entry.cells) :]:
            spare.remove()
    for place, heading in zip(axes[0], grid.columns, strict=False):
        place.set_title(heading, fontsize=7)
    return figure
