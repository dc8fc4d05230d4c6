"""A person's own images, brought to what a model takes: arrays of its size with values in [0, 1].

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
    "from what is visible. For a model of grey images colours become grey by the luma of ITU-R "
    "601; 16-bit grey keeps its depth. The image is padded to the model's proportions with the "
    "median of its border and resized with Lanczos; one that has the right size is taken as it "
    "is. Arrays (.npy) of shape (H, W), (N, H, W) or (N, C, H, W) hold floats in [0, 1], booleans, "
    "uint8 or uint16, and are padded and resized alike. Models of clothes and digits know bright "
    "things on black: with --invert dark and bright are swapped for the model, and back in the "
    "result."
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
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601


class OwnImageError(Exception):
    """An image that cannot be used; the message names the file, what is wrong, and the way out."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images from one file, as the model takes them; `steps` say what was done to them.

    `images` are `(N, H, W)` for a model of grey images, `(N, C, H, W)` else. `inverted` `(N,)`
    tells which were inverted; `shape` is that of the file's array, with the model's H and W.
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


@dataclass(frozen=True)
class _Target:
    """What a model takes: `size` is (H, W)."""

    size: tuple[int, int]
    channels: int
    invert: Invert


def read(
    path: Path, *, size: int | tuple[int, int], channels: int = 1, invert: Invert = "no"
) -> Prepared:
    """The images in `path`, prepared by `RULES` for a model of `size`; raises OwnImageError."""
    target = _Target((size, size) if isinstance(size, int) else size, channels, invert)
    try:
        length = path.stat().st_size
        if not length:
            raise OwnImageError(f"{path}: the file is empty")
        if path.suffix.lower() == ".npy":
            return _array(path, target)
        if length > MAX_FILE:
            raise OwnImageError(f"{path}: {length:,} bytes; at most {MAX_FILE:,} are read")
        return _picture(path, target)
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        raise OwnImageError(f"{path}: cannot be read ({why.splitlines()[0]})") from error


def _picture(path: Path, target: _Target) -> Prepared:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below, before any decoding
            with Image.open(path, formats=FORMATS) as image:
                _check_size(path, *image.size)
                values, steps = _values(image, target.channels)
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
    fitted, inverted, more = _fit(values, target)
    shape = target.size if target.channels == 1 else (target.channels, *target.size)
    return Prepared(path, fitted[None], np.array([inverted]), shape, (*steps, *more))


def _check_size(path: Path, width: int, height: int) -> None:
    if not width or not height:
        raise OwnImageError(f"{path}: {width}x{height} pixels: there is nothing in it")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise OwnImageError(
            f"{path}: {width}x{height} pixels are too large; at most {MAX_SIDE} a side and "
            f"{MAX_PIXELS:,} in all: make it smaller first"
        )


def _values(image: Image, channels: int) -> tuple[Floats, list[str]]:
    """The picture as values in [0, 1] `(H, W, channels)`, and what that took."""
    from PIL import ImageOps

    mode, frames = image.mode, getattr(image, "n_frames", 1)
    steps = [f"{image.width}x{image.height} {mode}"]
    if frames > 1:
        steps.append(f"first of {frames} frames")
    if image.getexif().get(ORIENTATION, 1) != 1:
        steps.append("turned as its EXIF says")
    turned = ImageOps.exif_transpose(image)
    if mode.startswith(("I", "F")):
        return np.repeat(_deep(np.asarray(turned))[:, :, None], channels, axis=2), steps
    if "A" in mode or "transparency" in turned.info:
        return _opaque(turned.convert("RGBA"), channels, steps), steps
    return _coloured(turned, channels), steps


def _coloured(image: Image, channels: int) -> Floats:
    colour = image.convert("RGB")
    values = _unit(np.asarray(colour.convert("L") if channels == 1 else colour))
    return values.reshape(*values.shape[:2], channels)


def _opaque(image: Image, channels: int, steps: list[str]) -> Floats:
    alpha = _unit(np.asarray(image.getchannel("A")))[:, :, None]
    values = _coloured(image, channels)
    if alpha.min() == 1:
        return values
    visible = float((_brightness(values) * alpha[:, :, 0]).sum() / max(float(alpha.sum()), 1e-6))
    behind = 0.0 if visible >= BRIGHT else 1.0
    steps.append(f"transparency on {'white' if behind else 'black'}")
    return values * alpha + behind * (1 - alpha)


def _brightness(values: Floats) -> Floats:
    """`(..., C)` to `(...)`."""
    if values.shape[-1] == 1:
        return values[..., 0]
    bright: Floats = values @ LUMA
    return bright


def _deep(values: NDArray[Any]) -> Floats:
    """Pictures of more than 8 bits: integers of 16, floats in [0, 1]."""
    if values.dtype.kind == "f":
        return _checked(values)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"grey values from {low} to {high}; 16 bits are the most that is taken")
    return (values / 65535).astype(np.float32)


def _array(path: Path, target: _Target) -> Prepared:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as error:
        raise OwnImageError(f"{path}: not a whole .npy file of numbers ({error})") from error
    channels = target.channels
    if values.ndim not in (2, 3, 4) or (values.ndim == 4 and values.shape[1] not in (1, channels)):
        raise OwnImageError(
            f"{path}: an array of shape {values.shape}, not (H, W), (N, H, W) or "
            f"(N, {channels}, H, W)"
        )
    height, width = values.shape[-2:]
    _check_size(path, width, height)
    if not values.size:
        raise OwnImageError(f"{path}: an array of shape {values.shape} holds no image")
    planes = values.shape[1] if values.ndim == 4 else 1
    count, side = values.size // (height * width * planes), max(height, width)
    if count * planes * side**2 > MAX_VALUES:
        raise OwnImageError(
            f"{path}: {count:,} images of {width}x{height} are too much at once; "
            f"split them, {MAX_VALUES // side**2:,} fit"
        )
    try:
        units = _checked(np.asarray(values)).reshape(-1, planes, height, width)
    except ValueError as error:
        raise OwnImageError(f"{path}: {error}") from error
    units = np.repeat(units, channels // planes, axis=1).transpose(0, 2, 3, 1)
    images, inverted, steps = zip(*(_fit(image, target) for image in units), strict=True)
    changes = dict.fromkeys(step for image_steps in steps for step in image_steps)
    original = f"{len(units)} of {width}x{height} {values.dtype}"
    shape = (*values.shape[:-2], *target.size)
    if channels != planes:  # grey ones for a model of colours
        shape = (count, channels, *target.size)
    return Prepared(path, np.stack(images), np.array(inverted), shape, (original, *changes))


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


def _fit(values: Floats, target: _Target) -> tuple[Floats, bool, list[str]]:
    """Invert, pad, resize `(H, W, C)` to what the model takes, without an axis for one channel.

    Also whether it was inverted, and what was done.
    """
    steps = []
    background = border(values)
    bright = float(_brightness(background)) > BRIGHT
    inverted = target.invert == "yes" or (target.invert == "auto" and bright)
    if inverted:
        values, background = 1 - values, 1 - background
        steps.append("inverted")
    elif bright:
        steps.append("bright background (--invert auto makes it dark)")
    full = _full(values.shape[:2], target.size)
    if full != values.shape[:2]:
        values = _padded(values, background, full)
        steps.append("padded to " + _in_words(full, "{0} square"))
    if values.shape[:2] != target.size:
        values = _resized(values, target.size)
        steps.append("resized to " + _in_words(target.size, "{0}x{0}"))
    image = values.transpose(2, 0, 1)
    return (image[0] if target.channels == 1 else image), inverted, steps


def _in_words(size: tuple[int, int], square: str) -> str:
    return square.format(size[0]) if size[0] == size[1] else f"{size[1]}x{size[0]}"


def border(values: Floats) -> Floats:
    """The median of the outermost pixels of `(H, W, C)`, `(C,)`."""
    edges = (values[0], values[-1], values[:, 0], values[:, -1])
    median: Floats = np.median(np.concatenate(edges), axis=0).astype(np.float32)
    return median


def _full(size: tuple[int, ...], target: tuple[int, int]) -> tuple[int, int]:
    """The smallest height and width of the target's proportions that hold `size`."""
    height, width = size
    return (
        max(height, -(-width * target[0] // target[1])),
        max(width, -(-height * target[1] // target[0])),
    )


def _padded(values: Floats, colour: Floats, full: tuple[int, int]) -> Floats:
    height, width = values.shape[:2]
    top, left = (full[0] - height) // 2, (full[1] - width) // 2
    canvas = np.empty((*full, values.shape[2]), np.float32)
    canvas[:] = colour
    canvas[top : top + height, left : left + width] = values
    return canvas


def _resized(values: Floats, size: tuple[int, int]) -> Floats:
    """Lanczos overshoots at edges, hence the clipping."""
    from PIL import Image

    resampling = Image.Resampling.LANCZOS
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size[::-1], resampling))
        for plane in values.transpose(2, 0, 1)
    ]
    return np.stack(planes, axis=2).astype(np.float32).clip(0, 1)
