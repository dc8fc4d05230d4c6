"""Arrays of images whatever their order of axes, as `(N, C, H, W)`."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.sizes import LEAST

Shape = tuple[int, ...]


def as_nchw(images: NDArray[Any], where: str) -> NDArray[Any]:
    """`(N, H, W)`, `(N, C, H, W)`, `(N, H, W, C)` or `(N, pixels)` of a square grey image.

    No order is guessed: an axis of 1 or 3 is no side of an image, sides have at least 8 pixels.
    Raises DataError, naming `where`, for any other shape.
    """
    shape = images.shape
    if len(shape) == 2:
        side = square_side(shape[1])
        if side is not None:
            return images.reshape(len(images), 1, side, side)
    if len(shape) == 3:
        return images[:, None]
    if len(shape) == 4 and shape[1] in (1, 3) and min(shape[2:]) >= LEAST:
        return images
    if len(shape) == 4 and shape[3] in (1, 3) and min(shape[1:3]) >= LEAST:
        return images.transpose(0, 3, 1, 2)
    raise DataError(
        f"{where}: images of shape {shape}; expected (N, H, W), (N, H, W, C), (N, C, H, W) or "
        f"(N, pixels) of squares, with C of 1 or 3 and sides of at least {LEAST} pixels"
    )


def square_side(pixels: int) -> int | None:
    """The side of a square of so many pixels."""
    side = round(pixels**0.5)
    return side if side >= LEAST and side * side == pixels else None
