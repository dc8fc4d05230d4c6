"""How images of other or differing sizes are brought to one: what `--resize` says.

`auto` keeps images of one size of 8 to 128 pixels as they are. Others become squares, whose side is
the median of the longer sides and at most 64; the picture keeps its proportions and is padded with
the median of its border. `N` or `HxW` name the size; `:crop` cuts the middle out where proportions
differ, `:stretch` gives them up, `:pad` is the default. Lanczos does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vae_trainables.config import SIDES
from vae_trainables.datasets.errors import DataError

LEAST, MOST = SIDES  # pixels a side that the models take
AUTO_MOST = 64  # a side that `auto` chooses
ENLARGED_MOST = 4  # times: more would be an invention
SLIM_MOST = 4  # sides' ratio of the usual picture that a target of other proportions may have

Size = tuple[int, int]  # height, width
How = Literal["pad", "crop", "stretch"]


@dataclass(frozen=True)
class Resize:
    """A parsed `--resize`; `size` None is auto."""

    size: Size | None = None
    how: How = "pad"

    @classmethod
    def parse(cls, text: str) -> Resize:
        """From `auto`, `32`, `32x48`, `32:crop` ...; raises DataError for anything else."""
        match = re.fullmatch(r"(auto|(\d+)(?:x(\d+))?)(?::(pad|crop|stretch))?", text)
        if match is None:
            raise DataError(
                f"--resize is {text!r}; give auto, N or HxW, and :pad, :crop or :stretch after it"
            )
        size = None
        if match[2]:
            size = int(match[2]), int(match[3] or match[2])
            if not all(LEAST <= side <= MOST for side in size):
                raise DataError(f"--resize is {text!r}; sides go from {LEAST} to {MOST} pixels")
        how: How = match[4] or "pad"  # type: ignore[assignment]
        return cls(size, how)

    def target(self, sizes: Mapping[Size, int]) -> Size:
        """The size to bring images to, of which `sizes` counts how many have which.

        Raises DataError where it would be silly: see `ENLARGED_MOST` and `SLIM_MOST`.
        """
        kept = len(sizes) == 1 and all(LEAST <= side <= MOST for side in next(iter(sizes)))
        if kept and self.size is None:
            return next(iter(sizes))
        every = np.repeat(np.array(list(sizes)), list(sizes.values()), axis=0)
        height, width = np.median(every, axis=0)
        if self.size is None:
            side = int(np.clip(np.median(every.max(1)), 1, AUTO_MOST))
            target = (side, side)
        else:
            target = self.size
        _check_sense(target, float(height), float(width), self.how)
        return target

    def bring(self, image: NDArray[Any], target: Size) -> NDArray[Any]:
        """One image `(H, W, C)`, uint8 or uint16 or float, brought to `target`."""
        if image.shape[:2] == target:
            return image
        if self.how == "pad":
            image = _padded(image, target)
        elif self.how == "crop":
            image = _cropped(image, target)
        return _resized(image, target)


def _check_sense(target: Size, height: float, width: float, how: How) -> None:
    usual = f"the usual image of {height:g} × {width:g} pixels"
    if min(target) < LEAST:
        raise DataError(f"{usual} is too small: at least {LEAST} pixels a side, or give --resize N")
    if max(target[0] / height, target[1] / width) > ENLARGED_MOST and how != "pad":
        raise DataError(f"{usual} would be enlarged more than {ENLARGED_MOST} times: --resize less")
    if min(target[0] / height, target[1] / width) > ENLARGED_MOST:
        raise DataError(f"{usual} would be enlarged more than {ENLARGED_MOST} times: --resize less")
    slimness = (height / width) / (target[0] / target[1])
    if not 1 / SLIM_MOST <= slimness <= SLIM_MOST:
        raise DataError(
            f"{usual} does not suit {target[0]} × {target[1]}: most of it would be padding, lost "
            "or distorted; give --resize HxW of similar proportions"
        )


def _padded(image: NDArray[Any], target: Size) -> NDArray[Any]:
    """Centred on a canvas of the target's proportions, in the colour of the border's median."""
    height, width = image.shape[:2]
    full = (
        max(height, -(-width * target[0] // target[1])),
        max(width, -(-height * target[1] // target[0])),
    )
    if full == (height, width):
        return image
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    canvas = np.empty((*full, image.shape[2]), image.dtype)
    canvas[:] = np.median(border, axis=0)
    top, left = (full[0] - height) // 2, (full[1] - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas


def _cropped(image: NDArray[Any], target: Size) -> NDArray[Any]:
    height, width = image.shape[:2]
    part = (
        max(1, min(height, round(width * target[0] / target[1]))),
        max(1, min(width, round(height * target[1] / target[0]))),
    )
    top, left = (height - part[0]) // 2, (width - part[1]) // 2
    return image[top : top + part[0], left : left + part[1]]


def _resized(image: NDArray[Any], target: Size) -> NDArray[Any]:
    """Lanczos overshoots at edges, hence the limits."""
    from PIL import Image

    if image.shape[:2] == target:
        return image
    low, high = image.min(), image.max()
    made = np.empty((*target, image.shape[2]), np.float32)
    for channel in range(image.shape[2]):
        plane = image[:, :, channel]
        if plane.dtype != np.uint8:
            plane = plane.astype(np.float32)
        picture = Image.fromarray(np.ascontiguousarray(plane))
        made[:, :, channel] = np.asarray(picture.resize(target[::-1], Image.Resampling.LANCZOS))
    made = made.clip(low, high)
    return (made if image.dtype.kind == "f" else np.rint(made)).astype(image.dtype)
