"""NumPy's .npz and .npy: MedMNIST, Keras, KMNIST's, or plain `images` and `labels`.

A file, or a folder of them. What an array is follows from the words of its name (`train_images`,
`x_train`, `kmnist-train-imgs.npz`), else from its number of dimensions. Nothing is unpickled.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets import layouts, memory
from vae_trainables.datasets.contents import Contents, Part, Pictures, part_of, words
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats.format import Format, files_in
from vae_trainables.datasets.sizes import Resize

_IMAGES = {"images", "image", "imgs", "img", "x", "data", "pictures", "features"}
_LABELS = {"labels", "label", "y", "targets", "target", "classes"}
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Stored:
    """An array in a file; `member` is its name inside an .npz."""

    path: Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def name(self) -> str:
        """The words that say what it is; numpy's own `arr_0` says nothing."""
        member = "" if self.member.startswith("arr_") else self.member
        return f"{member or self.path.stem}" if member else self.path.stem

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def load(self) -> NDArray[Any]:
        """The values."""
        with np.load(self.path, allow_pickle=False) as opened:
            return np.asarray(opened[self.member])


def _files(path: Path) -> list[Path]:
    return [file for file in files_in(path) if file.suffix.lower() in (".npz", ".npy")]


def _recognises(path: Path) -> bool:
    return bool(_files(path))


def _read(path: Path, resize: Resize) -> Contents:
    try:
        stored = [array for file in _files(path) for array in _stored(file)]
        memory.require(2 * sum(array.size for array in stored), str(path))
        return contents({_unique(array, stored): _load(array) for array in stored}, str(path))
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: damaged, or no file of NumPy's: {_first(error)}") from error


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _unique(array: Stored, everything: list[Stored]) -> str:
    """The array's name; with its place where files hold several unnamed ones."""
    alike = sum(other.name == array.name for other in everything)
    return array.name if alike == 1 else f"{array.path.stem}/{array.member}"


def _stored(path: Path) -> Iterator[Stored]:
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            yield _header(file, path, "")
        return
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            with packed.open(name) as member:
                yield _header(member, path, name.removesuffix(".npy"))


def _header(file: IO[bytes], path: Path, member: str) -> Stored:
    version = np.lib.format.read_magic(file)
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise DataError(
            f"{path}: {member or 'its array'} holds Python objects, which are pickles, and those "
            "are not read: save it again as a plain array of numbers or texts"
        )
    return Stored(path, member, shape, dtype)


def _load(array: Stored) -> NDArray[Any]:
    if array.member:
        return array.load()
    return np.asarray(np.load(array.path, allow_pickle=False))


def contents(arrays: Mapping[str, NDArray[Any]], where: str) -> Contents:
    """Parts from named arrays; raises DataError where it is unclear what is what."""
    images: dict[Part, NDArray[Any]] = {}
    labels: dict[Part, NDArray[Any]] = {}
    unused = []
    for name, values in arrays.items():
        table = _role(name, values, images, labels)
        if table is None:
            unused.append(name)
            continue
        if part_of(name) in table:
            raise DataError(f"{where}: more than one array of {name!r}'s kind: {', '.join(arrays)}")
        table[part_of(name)] = values
    if not images:
        raise DataError(
            f"{where}: no array of images among {', '.join(arrays) or 'none'}; name them images "
            "and labels, or train_images, train_labels, val_images ..."
        )
    notes = (f"not used: {', '.join(unused)}",) if unused else ()
    parts = {
        part: Pictures(layouts.as_nchw(values, where), labels.get(part))
        for part, values in images.items()
    }
    return Contents("NumPy arrays", parts, {}, notes)


def _role(
    name: str,
    values: NDArray[Any],
    images: dict[Part, NDArray[Any]],
    labels: dict[Part, NDArray[Any]],
) -> dict[Part, NDArray[Any]] | None:
    """Where an array belongs, by name, else by shape."""
    said = set(words(name))
    if said & _LABELS and values.ndim <= 2:
        return labels
    if said & _IMAGES and values.ndim >= 2:
        return images
    if values.ndim >= 3:
        return images
    return labels if values.ndim == 1 else None


FORMAT = Format("NumPy's .npz or .npy (MedMNIST, Keras, images and labels)", _recognises, _read)
