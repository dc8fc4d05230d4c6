"""Own data from a path to splits that a trial takes, and what there is to say about them.

Splits that are given are used; what is missing of val and test is taken from train, stratified and
seeded. Images that are in two splits stay in the first of train, val, test only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vae_trainables.datasets import dividing, values
from vae_trainables.datasets.contents import Contents, Part, Pictures, listed
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats import arrays, recognise
from vae_trainables.datasets.labels import classify
from vae_trainables.datasets.sizes import Resize
from vae_trainables.datasets.splits import Facts, Split

ORDER = ("train", "val", "test")
SMALL = 128  # images: fewer than one usual batch


@dataclass(frozen=True, eq=False)
class OwnData:
    """What was understood; `notes` are sentences for the user."""

    format: str
    splits: dict[str, Split]
    facts: Facts
    notes: tuple[str, ...]


@dataclass(eq=False)
class _Rows:
    """Images `(N, C, H, W)` uint8 of one part with class numbers and names."""

    images: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    names: Sequence[str]

    def take(self, places: NDArray[np.int64]) -> _Rows:
        names = [self.names[i] for i in places.tolist()]
        return _Rows(self.images[places], self.numbers[places], names)


def read(
    path: Path, resize: Resize, name: str, class_names: Mapping[Any, str] | None = None
) -> OwnData:
    """What lies at `path`; raises DataError, one line that names it.

    class_names: names of labels that are numbers, in place of what the format says of them.
    """
    try:
        contents = recognise(path).read(path, resize)
        if class_names:
            contents = replace(contents, class_names=class_names)
        return understood(contents, resize, name)
    except DataError as error:
        text = str(error)
        raise error if str(path) in text else DataError(f"{path}: {text}") from error


def from_arrays(given: Mapping[str, Any], resize: Resize, name: str) -> OwnData:
    """The same of arrays by name, as an .npz would hold them."""
    return understood(
        arrays.contents({k: np.asarray(v) for k, v in given.items()}, name), resize, name
    )


def understood(contents: Contents, resize: Resize, name: str) -> OwnData:
    """Bring contents to uint8, one size, class numbers and three splits."""
    parts, notes = _usable(contents.parts)
    images, what = values.as_uint8([pictures.images for pictures in parts.values()])
    images, sized = _of_one_shape(images, resize)
    classified = classify(parts, contents.class_names)
    rows = {
        part: _Rows(image, classified.numbers[part], _names(part, pictures))
        for (part, pictures), image in zip(parts.items(), images, strict=True)
    }
    divided, how = _divided(rows)
    apart, twice = _kept_apart(divided)
    _check_counts(apart)
    said = [*contents.notes, *notes, *([what] if what else []), *sized, *classified.notes]
    said += [*how, *twice, *_remarks(apart, classified.classes)]
    splits = {part: _split(kept, classified.classes) for part, kept in apart.items()}
    shape: tuple[int, int, int] = tuple(splits["train"].images.shape[1:])  # type: ignore[assignment]
    facts = Facts(name, shape, classified.classes, len(splits["train"]))
    return OwnData(contents.format, splits, facts, tuple(said))


def _usable(parts: Mapping[Part, Pictures]) -> tuple[dict[Part, Pictures], list[str]]:
    """Parts with images; test images without labels say nothing where the others have some."""
    usable = {part: p for part, p in parts.items() if len(p.images)}
    if not usable:
        raise DataError("there are no images")
    main: Part = "train" if "train" in usable else "all"
    if main not in usable:
        raise DataError(f"there is no part to train on, only {', '.join(usable)}")
    if main == "train" and "all" in usable:
        raise DataError(
            "there are images both inside and outside of the train part: put them into one"
        )
    bare = [part for part, p in usable.items() if p.labels is None]
    if usable[main].labels is None or not bare:
        return usable, []
    kept = {part: p for part, p in usable.items() if part not in bare}
    return kept, [f"{', '.join(bare)} has no labels and is left out: one is taken from {main}"]


def _names(part: Part, pictures: Pictures) -> Sequence[str]:
    if pictures.names:
        return pictures.names
    where = "image" if part == "all" else part
    return [f"{where} {i}" for i in range(len(pictures.images))]


def _of_one_shape(
    images: Sequence[NDArray[np.uint8]], resize: Resize
) -> tuple[list[NDArray[np.uint8]], list[str]]:
    sizes: dict[tuple[int, int], int] = {}
    for part in images:
        size = part.shape[2], part.shape[3]
        sizes[size] = sizes.get(size, 0) + len(part)
    target = resize.target(sizes)
    notes = []
    if set(sizes) != {target}:
        notes = [f"brought to {target[0]} × {target[1]} pixels ({resize.how})"]
    channels = max(part.shape[1] for part in images)
    return [_fitted(part, channels, target, resize) for part in images], notes


def _fitted(
    part: NDArray[np.uint8], channels: int, target: tuple[int, int], resize: Resize
) -> NDArray[np.uint8]:
    if part.shape[2:] != target:
        moved = (resize.bring(image.transpose(1, 2, 0), target) for image in part)
        part = np.stack([image.transpose(2, 0, 1) for image in moved])
    return part if part.shape[1] == channels else np.repeat(part, channels, axis=1)


def _divided(rows: Mapping[Part, _Rows]) -> tuple[dict[str, _Rows], list[str]]:
    main: Part = "train" if "train" in rows else "all"
    missing = [part for part in ("val", "test") if part not in rows]
    whole = rows[main]
    places = dividing.stratified(whole.numbers, dividing.shares(missing))
    divided = {part: whole.take(at) for part, at in places.items()}
    for part in ("val", "test"):
        if part in rows:
            divided[part] = rows[part].take(dividing.fair(rows[part].numbers))
    how = []
    if missing:
        share = f"{dividing.SHARE:.0%} of each class" if whole.numbers.any() else "15%"
        of = "train images" if main == "train" else "images"
        how = [f"{' and '.join(missing)}: {share}, drawn from the {of} at random (seeded)"]
    return {part: divided[part] for part in ORDER}, how


def _kept_apart(divided: Mapping[str, _Rows]) -> tuple[dict[str, _Rows], list[str]]:
    """Each image in the first split that has it only."""
    apart: dict[str, _Rows] = {}
    notes = []
    seen: dict[str, str] = {}
    for part, rows in divided.items():
        marks = dividing.digests(rows.images)
        fresh, twice = dividing.without(set(seen), marks)
        if part != "train" and len(twice):
            pairs = [f"{rows.names[i]} = {seen[marks[i]]}" for i in twice.tolist()]
            notes.append(
                f"{len(twice)} of {len(marks)} {part} images are exact copies of images in an "
                f"earlier split and are left out: {listed(pairs)}"
            )
            rows = rows.take(fresh)
        seen |= {
            mark: name
            for mark, name in zip(marks, divided[part].names, strict=True)
            if mark not in seen
        }
        apart[part] = rows
    return apart, notes


def _check_counts(apart: Mapping[str, _Rows]) -> None:
    for part, rows in apart.items():
        if not len(rows.numbers):
            counts = ", ".join(f"{name} {len(kept.numbers)}" for name, kept in apart.items())
            raise DataError(
                f"no image is left for {part} ({counts}; copies are in the first alone): give more "
                "different images"
            )


def _remarks(apart: Mapping[str, _Rows], classes: Sequence[str]) -> list[str]:
    """What will not crash, but should be known."""
    remarks = []
    for part, rows in apart.items():
        flat = rows.images.reshape(len(rows.images), -1)
        constant = np.flatnonzero((flat == flat[:, :1]).all(1))
        if len(constant):
            named = listed([rows.names[i] for i in constant.tolist()])
            remarks.append(f"{len(constant)} {part} images are of one colour alone: {named}")
        if len(rows.numbers) < SMALL:
            remarks.append(f"{part} has only {len(rows.numbers)} images: less than a usual batch")
        counts = np.bincount(rows.numbers, minlength=len(classes))
        absent = [name for name, count in zip(classes, counts, strict=False) if not count]
        if absent:
            remarks.append(f"{part} has no image of {len(absent)} classes: {listed(absent)}")
    totals = sum(np.bincount(rows.numbers, minlength=len(classes)) for rows in apart.values())
    single = [
        name for name, count in zip(classes, np.atleast_1d(totals), strict=False) if count == 1
    ]
    if single:
        remarks.append(f"{len(single)} classes have a single image: {listed(single)}")
    return remarks


def _split(rows: _Rows, classes: tuple[str, ...]) -> Split:
    images = torch.from_numpy(np.ascontiguousarray(rows.images))
    return Split(images, torch.from_numpy(rows.numbers), classes, labelled=bool(classes))
