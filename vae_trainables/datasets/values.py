"""Pixel values of any type as uint8, by rules that never guess between two readings.

| values | become |
|---|---|
| uint8, or integers from 0 to 255 | themselves |
| booleans, or integers from 0 to 1 | 0 and 255 |
| integers up to 65,535 | scaled by the least of 1023, 4095, 16383 and 65535 that holds all |
| floats from 0 to 1 | times 255, rounded |
| floats from 0 to 255 | rounded |

The largest value of all parts decides, so that training and test images are scaled alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets.errors import DataError

Bytes = NDArray[np.uint8]
LEVELS = (1023, 4095, 16383, 65535)  # of 10, 12, 14 and 16 bits


def as_uint8(parts: Sequence[NDArray[Any]]) -> tuple[list[Bytes], str]:
    """The same images as uint8, and what was done in words (empty: nothing).

    Raises DataError for values that are none of the module's table.
    """
    low, high = _range(parts)
    if all(part.dtype.kind in "bui" for part in parts):
        return _integers(parts, low, high)
    if low < 0 or high > 255:
        raise DataError(
            f"pixel values from {low:g} to {high:g} are neither in [0, 1] nor in [0, 255]: "
            "undo their normalisation, or scale them to [0, 1]"
        )
    scale = 255.0 if high <= 1 else 1.0
    made = [np.rint(part * scale).astype(np.uint8) for part in parts]
    exact = all(
        np.allclose(part * scale, new, atol=1e-3) for part, new in zip(parts, made, strict=True)
    )
    span = "[0, 1]" if scale > 1 else "[0, 255]"
    return made, f"floats in {span}" + ("" if exact else ", rounded to 256 levels")


def _range(parts: Sequence[NDArray[Any]]) -> tuple[float, float]:
    for part in parts:
        if part.dtype.kind not in "buif":
            raise DataError(f"pixels of type {part.dtype} are no numbers: give integers or floats")
    low = min(float(part.min()) for part in parts)
    high = max(float(part.max()) for part in parts)
    if not np.isfinite([low, high]).all():
        raise DataError("there are pixels that are NaN or infinite: repair or drop those images")
    return low, high


def _integers(parts: Sequence[NDArray[Any]], low: float, high: float) -> tuple[list[Bytes], str]:
    if low < 0 or high > LEVELS[-1]:
        raise DataError(
            f"integer pixels from {low:g} to {high:g}: give 0 to 255, or at most 16 bits from 0"
        )
    if high <= 1:
        return [part.astype(np.uint8) * np.uint8(255) for part in parts], "black and white"
    if high <= 255:
        return [part.astype(np.uint8, copy=False) for part in parts], ""
    top = next(level for level in LEVELS if high <= level)
    made = [np.rint(part * (255 / top)).astype(np.uint8) for part in parts]
    return made, f"integers from {low:g} to {high:g}, scaled from 0–{top} to 256 levels"
