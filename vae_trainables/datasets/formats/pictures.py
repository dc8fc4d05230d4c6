"""One picture file as an array: PNG, JPEG, TIFF and others, 8 or 16 bits, grey or in colour.

A picture is turned as its EXIF says, and of several frames the first counts. Transparent parts
become black or white, whichever differs more from what is visible. A colour picture whose three
channels are equal is grey.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.sizes import Size

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")  # none that starts other programs
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm")
)
MOST_PIXELS = 2**26  # of one file: 64 megapixels
BRIGHT = 0.5
_TURNED = {5, 6, 7, 8}  # EXIF orientations that swap height and width
_ORIENTATION = 0x0112


class PictureError(DataError):
    """A file that is no whole picture; the message says what is wrong, without the name."""


def size_of(path: Path) -> Size:
    """Height and width from the header, as the picture is meant to be seen."""
    with _opened(path) as image:
        width, height = image.size
        if not 0 < width * height <= MOST_PIXELS:
            raise PictureError(f"{width} × {height} pixels")
        turned = image.getexif().get(_ORIENTATION) in _TURNED
        return (width, height) if turned else (height, width)


def decode(path: Path) -> NDArray[Any]:
    """uint8 or uint16 `(H, W, 1)`, or uint8 `(H, W, 3)` where there is colour."""
    from PIL import ImageOps

    try:
        with _opened(path) as image:
            return _values(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(_first(error)) from error  # Pillow's decoders raise any of these


def _opened(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    if not path.stat().st_size:
        raise PictureError("empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the number of pixels is checked
            return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise PictureError("no picture") from error
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise PictureError(_first(error)) from error


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _values(image: Image) -> NDArray[Any]:
    if image.mode.startswith(("I", "F")):
        return _deep(np.asarray(image))[:, :, None]
    if image.has_transparency_data:
        return _grey_if_equal(_opaque(np.asarray(image.convert("RGBA"))))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    return _grey_if_equal(np.asarray(image.convert("RGB")))


def _deep(values: NDArray[Any]) -> NDArray[np.uint16]:
    """More than 8 bits: integers of 16, floats in [0, 1]."""
    if values.dtype.kind == "f":
        values = values * 65535
    if not (values.min() >= 0 and values.max() <= 65535):  # true for NaN
        raise PictureError("values outside 16 bits, or floats outside [0, 1]")
    deep: NDArray[np.uint16] = np.rint(values).astype(np.uint16)
    return deep


def _opaque(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = values[:, :, 3:].astype(np.float32) / 255
    colour = values[:, :, :3]
    if alpha.min() == 1:
        return colour
    visible = float((colour.mean(2, keepdims=True) / 255 * alpha).sum() / max(alpha.sum(), 1e-6))
    behind = 0.0 if visible >= BRIGHT else 255.0
    return np.rint(colour * alpha + behind * (1 - alpha)).astype(np.uint8)


def _grey_if_equal(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = values[:, :, :1]
    return grey if bool((values == grey).all()) else values
