"""A folder of pictures: a sub-folder per class, train, val and test folders, or neither.

Files that are broken or empty are counted and named, and left out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets import memory, values
from vae_trainables.datasets.contents import Contents, Part, Pictures, listed, part_of, words
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats.format import Format
from vae_trainables.datasets.formats.pictures import SUFFIXES, PictureError, decode, size_of
from vae_trainables.datasets.sizes import Resize, Size

_JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Entry:
    """A picture file; `label` is its class folder, empty for a file outside of all."""

    path: Path
    part: Part
    label: str
    name: str


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _JUNK and name[0] != ".")
        for name in sorted(files):
            if name not in _JUNK and name[0] != ".":
                yield Path(folder, name)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _recognises(path: Path) -> bool:
    return path.is_dir() and any(map(_is_picture, _walk(path)))


def _entry(path: Path, root: Path) -> Entry:
    inner = path.relative_to(root)
    folders = inner.parts[:-1]
    part: Part = "all"
    if folders and len(words(folders[0])) == 1 and part_of(folders[0]) != "all":
        part, folders = part_of(folders[0]), folders[1:]
    return Entry(path, part, folders[0] if folders else "", str(inner))


def _read(path: Path, resize: Resize) -> Contents:
    files = list(_walk(path))
    entries = [_entry(file, path) for file in files if _is_picture(file)]
    others = [str(file.relative_to(path)) for file in files if not _is_picture(file)]
    notes = [f"no pictures, left out: {listed(others)}"] if others else []
    sizes, broken = _sizes(entries)
    entries = [entry for entry in entries if entry.name in sizes]
    if not entries:
        raise DataError(f"{path}: no picture can be read; {_named(broken)}")
    target = resize.target(Counter(sizes.values()))
    memory.require(len(entries) * target[0] * target[1] * 3 * 2, str(path))
    images, entries = _decoded(entries, target, resize, broken)
    if broken:
        notes.append(f"{len(broken)} broken or empty files left out: {_named(broken)}")
    stack, depth = _stacked(images)
    notes += depth
    entries, strays = _with_classes(entries)
    if strays:
        notes.append(f"{len(strays)} pictures outside the class folders left out: {listed(strays)}")
    kept = [i for i, entry in enumerate(entries) if entry.name not in set(strays)]
    parts = _parts([entries[i] for i in kept], stack[kept])
    return Contents(f"folder of pictures of {_sizes_in_words(sizes)}", parts, {}, tuple(notes))


def _named(broken: dict[str, str]) -> str:
    return listed([f"{name} ({why})" for name, why in broken.items()])


def _sizes_in_words(sizes: dict[str, Size]) -> str:
    counts = Counter(sizes.values())
    if len(counts) == 1:
        return "{} × {} pixels".format(*next(iter(counts)))
    smallest, largest = (key(counts, key=lambda size: size[0] * size[1]) for key in (min, max))
    return "{} sizes, {} × {} to {} × {} pixels".format(len(counts), *smallest, *largest)


def _sizes(entries: Sequence[Entry]) -> tuple[dict[str, Size], dict[str, str]]:
    """Sizes by name from the files' headers, and what is wrong with the others."""
    sizes: dict[str, Size] = {}
    broken: dict[str, str] = {}
    for entry in entries:
        try:
            sizes[entry.name] = size_of(entry.path)
        except (PictureError, OSError) as error:
            broken[entry.name] = str(error)
    return sizes, broken


def _decoded(
    entries: Sequence[Entry], target: Size, resize: Resize, broken: dict[str, str]
) -> tuple[list[NDArray[Any]], list[Entry]]:
    """Images of one size, and whose they are; what cannot be decoded joins the broken."""
    images, whole = [], []
    for entry in entries:
        try:
            images.append(resize.bring(decode(entry.path), target))
            whole.append(entry)
        except (PictureError, OSError) as error:
            broken[entry.name] = str(error)
    if not images:
        raise DataError(f"no picture can be read; {_named(broken)}")
    return images, whole


def _stacked(images: Sequence[NDArray[Any]]) -> tuple[NDArray[np.uint8], list[str]]:
    """`(N, C, H, W)`: grey ones get three channels among colour ones; deep ones 8 bits."""
    deep = [i for i, image in enumerate(images) if image.dtype == np.uint16]
    made = list(images)
    notes = []
    if deep:
        shallow, what = values.as_uint8([images[i] for i in deep])
        for i, image in zip(deep, shallow, strict=True):
            made[i] = image
        notes = [f"{len(deep)} pictures of 16 bits: {what or 'values up to 255'}"]
    channels = max(image.shape[2] for image in made)
    stack = np.empty((len(made), channels, *made[0].shape[:2]), np.uint8)
    for place, image in zip(stack, made, strict=True):
        place[:] = image.transpose(2, 0, 1)
    return stack, notes


def _with_classes(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Entries, and the names of those that lie outside of the classes that the others have."""
    labelled = {entry.label for entry in entries} - {""}
    strays: list[str] = []
    if labelled:
        inside = {entry.part for entry in entries if entry.label}
        strays = [e.name for e in entries if not e.label and e.part in inside]
    return list(entries), strays


def _parts(entries: Sequence[Entry], images: NDArray[np.uint8]) -> dict[Part, Pictures]:
    parts: dict[Part, Pictures] = {}
    for part in dict.fromkeys(entry.part for entry in entries):
        places = [i for i, entry in enumerate(entries) if entry.part == part]
        labels = [entries[i].label for i in places]
        parts[part] = Pictures(
            images[places],
            np.array(labels) if all(labels) else None,
            [entries[i].name for i in places],
        )
    return parts


FORMAT = Format("a folder of pictures (PNG, JPEG, TIFF ...)", _recognises, _read)
