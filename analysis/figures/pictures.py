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
TEXT_PIXELS = 8  # room for a text below a picture, on paper
INCH_PER_PIXEL = 1 / 48
LABEL_INCHES, HEADING_INCHES = 1.5, 0.4


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
        Cell(pixel, f"{name}, {label}", text)
        for pixel, name, text in zip(pixels, what, below, strict=True)
    )
    return Row(label, cells, note)


def draw(grid: Grid) -> Figure:
    """For paper: the same rows, labels left, texts below the pictures.

    All pictures are one image: hundreds of axes would take matplotlib many seconds.
    """
    from matplotlib.figure import Figure

    first = grid.rows[0].cells[0]
    below = TEXT_PIXELS if any(cell.text for row in grid.rows for cell in row.cells) else GAP
    step_y, step_x = first.height + below, first.width + GAP
    columns = max(len(row.cells) for row in grid.rows)
    canvas = np.full((step_y * len(grid.rows), step_x * columns, 3), 255, np.uint8)
    left_inches = LABEL_INCHES if any(row.label for row in grid.rows) else 0.05
    top_inches = HEADING_INCHES if grid.columns else 0.05
    width, height = (size * INCH_PER_PIXEL for size in (canvas.shape[1], canvas.shape[0]))
    size = (left_inches + width, top_inches + height)
    figure = Figure(figsize=size)
    axes = figure.add_axes((left_inches / size[0], 0, width / size[0], height / size[1]))
    for i, entry in enumerate(grid.rows):
        top = i * step_y
        axes.text(-4, top + first.height / 2, entry.label, ha="right", va="center", fontsize=8)
        for j, cell in enumerate(entry.cells):
            left = j * step_x
            colored = cell.pixels if cell.pixels.ndim == 3 else cell.pixels[..., None]
            canvas[top : top + cell.height, left : left + cell.width] = colored
            place = (left + cell.width / 2, top + cell.height + 1)
            axes.text(*place, cell.text, ha="center", va="top", fontsize=6)
    for j, heading in enumerate(grid.columns):
        place = (j * step_x + first.width / 2, -2)
        text = heading.replace(": ", ":\n").replace("/", "/\n")
        axes.text(*place, text, ha="center", va="bottom", fontsize=6)
    axes.imshow(canvas, interpolation="nearest")
    axes.set_axis_off()
    return figure
