"""IDX files under any names: MNIST's, KMNIST's, EMNIST's and QMNIST's own, or a user's.

A folder, one of the sub-folders where torchvision unpacks, the image file itself, or the beginning
of the names where a folder holds several sets (`EMNIST/raw/emnist-letters`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets import layouts, memory
from vae_trainables.datasets.contents import Contents, Part, Pictures, part_of
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats.format import Format, files_in
from vae_trainables.datasets.idx import read_any
from vae_trainables.datasets.sizes import Resize

_NAME = re.compile(
    r"(?:(?P<set>.+?)[-_.])?(?P<part>train|t10k|test|val(?:id(?:ation)?)?)[-_.]"
    r"(?P<content>images|labels)[-_.]idx\d[-_.]\w+?(?P<packed>\.gz)?"
)
_DIGITS = "0123456789"
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MERGED = _DIGITS + _CAPITALS + "abdefghnqrt"
EMNIST_CLASSES = {
    "letters": dict(enumerate(_CAPITALS, 1)),
    "balanced": dict(enumerate(_MERGED)),
    "bymerge": dict(enumerate(_MERGED)),
    "byclass": dict(enumerate(_DIGITS + _CAPITALS + _CAPITALS.lower())),
}


class Named(NamedTuple):
    """A file and what its name says."""

    set: str
    part: Part
    content: str
    path: Path


def find(path: Path) -> list[Named]:
    """The IDX files that `path` means; those of several sets if it says no more."""
    if path.is_dir():
        folders = [path, path / "raw", *sorted(path.glob("*/raw")), path / "gzip"]
        return next((named for folder in folders if (named := _named(folder))), [])
    siblings = _named(path.parent)
    own = [named for named in siblings if named.path == path]
    prefix = own[0].set if own else path.name
    return [named for named in siblings if named.set == prefix]


def _named(folder: Path) -> list[Named]:
    """The plain file of a name before its gzipped one."""
    matches = [(file, _NAME.fullmatch(file.name)) for file in files_in(folder)]
    matches.sort(key=lambda pair: pair[1] is not None and pair[1]["packed"] is not None)
    first: dict[tuple[str, Part, str], Named] = {}
    for file, match in matches:
        if match is not None:
            named = Named(match["set"] or "", part_of(match["part"]), match["content"], file)
            first.setdefault(named[:3], named)
    return list(first.values())


def _recognises(path: Path) -> bool:
    return any(named.content == "images" for named in find(path))


def _read(path: Path, resize: Resize) -> Contents:
    files = find(path)
    sets = sorted({named.set for named in files})
    if len(sets) > 1:
        raise DataError(
            f"{path}: holds several sets ({', '.join(sets)}): give one of them as "
            f"{files[0].path.parent / sets[0]}"
        )
    memory.require(2 * sum(named.path.stat().st_size for named in files), str(path))
    by_content = {(named.part, named.content): named.path for named in files}
    turned = sets[0].startswith("emnist")
    parts: dict[Part, Pictures] = {}
    for (part, content), images in by_content.items():
        if content == "images":
            parts[part] = _pictures(images, by_content.get((part, "labels")), turned)
    notes = ("EMNIST's images lie on their side in its files: turned upright",) if turned else ()
    names = EMNIST_CLASSES.get(sets[0].rpartition("-")[2], {}) if turned else {}
    return Contents("IDX files", parts, names, notes)


def _pictures(path: Path, labels: Path | None, turned: bool) -> Pictures:
    images = layouts.as_nchw(read_any(path), str(path))
    if turned:
        images = images.swapaxes(-1, -2)
    return Pictures(images, None if labels is None else _labels(labels))


def _labels(path: Path) -> NDArray[Any]:
    """QMNIST has eight numbers per image, of which the first is the class."""
    values = read_any(path)
    return values if values.ndim == 1 else np.ascontiguousarray(values[:, 0])


FORMAT = Format("IDX files (MNIST, EMNIST, KMNIST, QMNIST or own)", _recognises, _read)
