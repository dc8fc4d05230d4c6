"""A contact sheet: pictures of every class and split on one image, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.splits import Split

if TYPE_CHECKING:
    from PIL.Image import Image

PER_ROW = 12
MOST_ROWS = 40  # classes that are shown
LABEL = 120  # pixels for a class's name
GAP = 2
LEAST_TILE = 48  # small images are enlarged by whole numbers to about this


def write(path: Path, splits: Mapping[str, Split]) -> None:
    """Write a PNG with a row per class of train, or rows of any images without labels."""
    train = splits["train"]
    if train.labelled:
        rows = {
            name: np.flatnonzero(train.labels.numpy() == number)[:PER_ROW]
            for number, name in enumerate(train.classes[:MOST_ROWS])
        }
    else:
        places = np.arange(min(len(train), PER_ROW * 6))
        rows = {
            f"{start + 1} …": places[start : start + PER_ROW]
            for start in range(0, len(places), PER_ROW)
        }
    picture = _drawn(train.images.numpy(), rows)
    try:
        picture.save(path, format="PNG")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def _drawn(images: NDArray[np.uint8], rows: Mapping[str, NDArray[np.int64]]) -> Image:
    from PIL import Image, ImageDraw

    scale = max(1, round(LEAST_TILE / max(images.shape[2:])))
    height, width = images.shape[2] * scale, images.shape[3] * scale
    size = LABEL + PER_ROW * (width + GAP), len(rows) * (height + GAP)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for row, (name, places) in enumerate(rows.items()):
        top = row * (height + GAP)
        pen.text((4, top + height // 2 - 6), name[:18], fill="black")
        for column, place in enumerate(places.tolist()):
            tile = _tile(images[place]).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(tile, (LABEL + column * (width + GAP), top))
    return sheet


def _tile(image: NDArray[np.uint8]) -> Image:
    """`(C, H, W)` as a picture."""
    from PIL import Image

    if len(image) == 1:
        return Image.fromarray(image[0]).convert("RGB")
    return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
