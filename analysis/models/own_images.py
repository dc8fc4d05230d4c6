"""A person's own images, brought to what a model takes: square grey arrays with values in [0, 1].

`RULES` states how; `read` applies it to a file or refuses the file with a sentence.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

RULES = (
    "Pictures (PNG, JPEG, GIF, BMP, TIFF, WebP, PNM) are turned as their EXIF says; of several "
    "frames the first counts. Transparent parts become black or white, whichever differs more "
    "from what is visible. Colours become grey by the luma of ITU-R 601; 16-bit grey keeps its "
    "depth. The image is padded to a square with the median grey of its border and resized with "
    "Lanczos; one that has the right size is taken as it is. Arrays (.npy) of shape (H, W), (N, "
    "H, W) or (N, 1, H, W) hold floats in [0, 1], booleans, uint8 or uint16, and are padded and "
    "resized alike. Models of clothes and digits know bright things on black: with --invert dark "
    "and bright are swapped for the model, and back in the result."
)
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # none that starts other programs
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
)
MAX_SIDE = 8192  # pixels; a padded square of it still fits into memory
MAX_PIXELS = 2**25
MAX_FILE = 2**28  # bytes of a picture's file
MAX_VALUES = 2**27  # of an array, once padded: 171,000 images of 28 x 28
ORIENTATION = 0x0112  # EXIF
BRIGHT = 0.5  # a border brighter than this is a bright background

Invert = Literal["no", "yes", "auto"]
Floats = NDArray[np.float32]


class OwnImageError(Exception):
    """An image that cannot be used; the message names the file, what is wrong, and the way out."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images from one file: `images` `(N, size, size)`; `steps` say what was done to them.

    `inverted` `(N,)` tells which were inverted; `shape` is the shape of the file's array, with
    `size` for height and width.
    """

    path: Path
    images: Floats
    inverted: NDArray[np.bool_]
    shape: tuple[int, ...]
    steps: tuple[str, ...]

    @property
    def is_array(self) -> bool:
        """Whether it came from a .npy file."""
        return self.path.suffix.lower() == ".npy"


def read(path: Path, *, size: int, invert: Invert = "no") -> Prepared:
    """The images in `path`, prepared by `RULES`; raises OwnImageError."""
    try:
        length = path.stat().st_size
        if not length:
            raise OwnImageError(f"{path}: the file is empty")
        if path.suffix.lower() == ".npy":
            return _array(path, size, invert)
        if length > MAX_FILE:
            raise OwnImageError(f"{path}: {length:,} bytes; at most {MAX_FILE:,} are read")
        return _picture(path, size, invert)
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        raise OwnImageError(f"{path}: cannot be read ({why.splitlines()[0]})") from error


def _picture(path: Path, size: int, invert: Invert) -> Prepared:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below, before any decoding
            with Image.open(path, formats=FORMATS) as image:
                _check_size(path, *image.size)
                grey, steps = _grey(image)
    except UnidentifiedImageError as error:
        raise OwnImageError(
            f"{path}: not a picture of a known format ({', '.join(FORMATS)})"
        ) from error
    except Image.DecompressionBombError as error:
        raise OwnImageError(f"{path}: too large ({error})") from error
    except (ValueError, SyntaxError, EOFError, IndexError, TypeError, MemoryError) as error:
        # Pillow's decoders raise any of these for damaged files.
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise OwnImageError(f"{path}: damaged or of an unsupported kind ({first})") from error
    fitted, inverted, more = _fit(grey, size, invert)
    return Prepared(path, fitted[None], np.array([inverted]), (size, size), (*steps, *more))


def _check_size(path: Path, width: int, height: int) -> None:
    if not width or not height:
        raise OwnImageError(f"{path}: {width}x{height} pixels: there is nothing in it")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise OwnImageError(
            f"{path}: {width}x{height} pixels are too large; at most {MAX_SIDE} a side and "
            f"{MAX_PIXELS:,} in all: make it smaller first"
        )


def _grey(image: Image) -> tuple[Floats, list[str]]:
    """The picture as grey values in [0, 1] `(H, W)`, and what that took."""
    from PIL import ImageOps

    mode, frames = image.mode, getattr(image, "n_frames", 1)
    steps = [f"{image.width}x{image.height} {mode}"]
    if frames > 1:
        steps.append(f"first of {frames} frames")
    if image.getexif().get(ORIENTATION, 1) != 1:
        steps.append("turned as its EXIF says")
    turned = ImageOps.exif_transpose(image)
    if mode.startswith(("I", "F")):
        return _deep(np.asarray(turned)), steps
    if "A" in mode or "transparency" in turned.info:
        return _opaque(turned.convert("RGBA"), steps), steps
    return _unit(np.asarray(turned.convert("RGB").convert("L"))), steps


def _opaque(image: Image, steps: list[str]) -> Floats:
    alpha = _unit(np.asarray(image.getchannel("A")))
    grey = _unit(np.asarray(image.convert("RGB").convert("L")))
    if alpha.min() == 1:
        return grey
    visible = float((grey * alpha).sum() / max(float(alpha.sum()), 1e-6))
    behind = 0.0 if visible >= BRIGHT else 1.0
    steps.append(f"transparency on {'white' if behind else 'black'}")
    return grey * alpha + behind * (1 - alpha)


def _deep(values: NDArray[Any]) -> Floats:
    """Pictures of more than 8 bits: integers of 16, floats in [0, 1]."""
    if values.dtype.kind == "f":
        return _checked(values)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"grey values from {low} to {high}; 16 bits are the most that is taken")
    return (values / 65535).astype(np.float32)


def _array(path: Path, size: int, invert: Invert) -> Prepared:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as error:
        raise OwnImageError(f"{path}: not a whole .npy file of numbers ({error})") from error
    if values.ndim not in (2, 3, 4) or (values.ndim == 4 and values.shape[1] != 1):
        raise OwnImageError(
            f"{path}: an array of shape {values.shape}, not (H, W), (N, H, W) or (N, 1, H, W)"
        )
    height, width = values.shape[-2:]
    _check_size(path, width, height)
    if not values.size:
        raise OwnImageError(f"{path}: an array of shape {values.shape} holds no image")
    count, side = values.size // (height * width), max(height, width)
    if count * side**2 > MAX_VALUES:
        raise OwnImageError(
            f"{path}: {count:,} images of {width}x{height} are too much at once; "
            f"split them, {MAX_VALUES // side**2:,} fit"
        )
    try:
        units = _checked(np.asarray(values)).reshape(-1, height, width)
    except ValueError as error:
        raise OwnImageError(f"{path}: {error}") from error
    images, inverted, steps = zip(*(_fit(image, size, invert) for image in units), strict=True)
    changes = dict.fromkeys(step for each in steps for step in each)
    given = f"{len(units)} of {width}x{height} {values.dtype}"
    shape = (*values.shape[:-2], size, size)
    return Prepared(path, np.stack(images), np.array(inverted), shape, (given, *changes))


def _checked(values: NDArray[Any]) -> Floats:
    """Values in [0, 1]; ValueError for a type or a range that says nothing of brightness."""
    scale = {"bool": 1, "uint8": 255, "uint16": 65535}.get(values.dtype.name)
    if scale is not None:
        return values.astype(np.float32) / np.float32(scale)
    if values.dtype.kind != "f":
        raise ValueError(
            f"values of type {values.dtype}; give floats in [0, 1], booleans, uint8 or uint16"
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # true for NaN
        raise ValueError(f"values from {low:g} to {high:g}; scale them to [0, 1]")
    return values.astype(np.float32)


def _unit(values: NDArray[np.uint8]) -> Floats:
    return values.astype(np.float32) / np.float32(255)


def _fit(grey: Floats, size: int, invert: Invert) -> tuple[Floats, bool, list[str]]:
    """Invert, pad, resize `(H, W)` to `(size, size)`; whether inverted, and what was done."""
    steps = []
    background = border_grey(grey)
    inverted = invert == "yes" or (invert == "auto" and background > BRIGHT)
    if inverted:
        grey, background = 1 - grey, 1 - background
        steps.append("inverted")
    elif background > BRIGHT:
        steps.append("bright background (--invert auto makes it dark)")
    height, width = grey.shape
    if height != width:
        grey = _padded(grey, background)
        steps.append(f"padded to {max(height, width)} square")
    if grey.shape[0] != size:
        grey = _resized(grey, size)
        steps.append(f"resized to {size}x{size}")
    return grey, inverted, steps


def border_grey(grey: Floats) -> float:
    """The median of the outermost pixels of `(H, W)`."""
    edges = (grey[0], grey[-1], grey[:, 0], grey[:, -1])
    return float(np.median(np.concatenate(edges)))


def _padded(grey: Floats, value: float) -> Floats:
    height, width = grey.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side), value, np.float32)
    square[top : top + height, left : left + width] = grey
    return square


def _resized(grey: Floats, size: int) -> Floats:
    """Lanczos overshoots at edges, hence the clipping."""
    from PIL import Image

    resized = Image.fromarray(grey).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(resized, np.float32).clip(0, 1)
