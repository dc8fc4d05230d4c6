"""The data sets: what they contain, how they are split, and that they are what they claim to be.

`load` gives a split as tensors in memory; `python -m vae_trainables.datasets fetch|check NAME`
gets a set beforehand, or says what is there. Places to look in are the business of `sources`.

Splits. `test` is the published test set. `val` is the last twelfth of the published training set
(5,000 of the 60,000), `train` is the rest of it. A user's own files in their place may be sorted by
class: of those a twelfth of each class is drawn at random, by a fixed seed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vae_trainables.config import PUBLISHED_SETS
from vae_trainables.datasets import dividing
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.idx import md5, read_idx
from vae_trainables.datasets.sources import (
    IDX_SETS,
    AbsentError,
    FilePair,
    Part,
    Place,
    copy_files,
    has_any_file,
    local_sources,
    locate,
    remote_sources,
    ways_to_get,
)
from vae_trainables.datasets.splits import Split

__all__ = ["NAMES", "SPLITS", "DataError", "Split", "check", "fetch", "load"]

SplitName = Literal["train", "val", "test"]
Array = NDArray[np.uint8]

NAMES = PUBLISHED_SETS
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
FULL_SIZE: dict[Part, int] = {"train": 60_000, "t10k": 10_000}
VALIDATION_PART = 12  # one image in this many of the training files is for validation
SIZE = 28
CLASSES = 10
DIGITS = tuple(map(str, range(CLASSES)))
_CONTENTS: tuple[Literal["images", "labels"], ...] = ("images", "labels")

log = logging.getLogger("vae_trainables.datasets")


def load(name: str, split: str, data_dir: str | Path | None = None) -> Split:
    """Load one split of a data set; the log says where it came from.

    Args:
        name: one of `NAMES`.
        split: one of `SPLITS`.
        data_dir: a folder with IDX files, plain or gzipped; nowhere else is looked then. Without
            it, in this order: the user's cache, Debian's package, torchvision's downloader,
            `apt-get download`. `digits` comes with scikit-learn and looks nowhere.

    Raises DataError, saying what was expected and found and how to get the data.
    """
    return load_splits(name, (split,), data_dir)[split]


def load_splits(
    name: str, splits: Iterable[str], data_dir: str | Path | None = None
) -> dict[str, Split]:
    """`load` of several splits, each file read once."""
    return _load(name, splits, data_dir, download=True)


def fetch(name: str, data_dir: str | Path | None = None) -> str:
    """Make sure that a set is on this machine, in `data_dir` if given; returns where it is.

    Files that `data_dir` already has are checked and never replaced. Raises DataError if the set
    cannot be had, or if `data_dir` holds something else.
    """
    _check_choice("data set", name, NAMES)
    if name == "digits":
        return "scikit-learn"
    if data_dir is None:
        return str(_published_files(name)[0].images.parent)
    target = Path(data_dir).expanduser()
    if not has_any_file(target, name):
        copy_files(_published_files(name), target)
    for part in FULL_SIZE:
        _read_first(name, part, target, download=False)
    return str(target)


def check(name: str, data_dir: str | Path | None = None) -> list[str]:
    """One line per split on what is on this machine; downloads nothing.

    Raises DataError if something is missing or not what it should be.
    """
    splits = _load(name, SPLITS, data_dir, download=False)
    return [_summary(name, split, data) for split, data in splits.items()]


class _Part(NamedTuple):
    """The verified contents of an image file `(N, 28, 28)` and its label file `(N,)`."""

    images: Array
    labels: Array
    files: FilePair
    genuine: bool = False
    """Whether they are the published ones."""


def _load(
    name: str, splits: Iterable[str], data_dir: str | Path | None, *, download: bool
) -> dict[str, Split]:
    _check_choice("data set", name, NAMES)
    loaded: dict[str, Split] = {}
    parts: dict[Part, _Part] = {}
    for split in splits:
        _check_choice("split", split, SPLITS)
        if name == "digits":
            loaded[split] = _digits(split)
            continue
        part: Part = "t10k" if split == "test" else "train"
        if part not in parts:
            parts[part] = _read_first(name, part, data_dir, download=download)
        loaded[split] = _split(parts[part], split)
    return loaded


def _split(part: _Part, split: str) -> Split:
    """Copied, so that the tensors are writable and val does not keep all training images alive."""
    rows = slice(None) if split == "test" else _share(part, split)
    images, labels = part.images[rows, None].copy(), part.labels[rows].astype(np.int64)
    return Split(torch.from_numpy(images), torch.from_numpy(labels), DIGITS)


def _published_files(name: str) -> list[FilePair]:
    """The files of both parts, downloaded if need be."""
    return [_read_first(name, part, None, download=True).files for part in FULL_SIZE]


def _share(part: _Part, split: str) -> slice | NDArray[np.int64]:
    """Where train and val lie in the training files."""
    count = len(part.labels)
    first = count - max(1, count // VALIDATION_PART)
    if first < 1:
        raise DataError(f"{part.files.images}: expected at least 2 images to split, found {count}")
    if part.genuine:
        return slice(first) if split == "train" else slice(first, None)
    return dividing.stratified(part.labels.astype(np.int64), {"val": 1 / VALIDATION_PART})[split]


def _read_first(name: str, part: Part, data_dir: str | Path | None, *, download: bool) -> _Part:
    """The part from the first place that has it, verified; DataError naming all if none has."""
    if data_dir is not None:
        places = [Place("data folder", lambda: Path(data_dir).expanduser())]
    else:
        places = local_sources(name) + (remote_sources(name) if download else [])
    failures = []
    for place in places:
        try:
            candidate = _read_part(locate(place.folder(), name, part), name, part)
            genuine = [
                _check_identity(candidate, name, part, content, published=data_dir is None)
                for content in _CONTENTS
            ]
        except DataError as error:
            failures.append(f"{place.label}: {error}")
            level = logging.DEBUG if isinstance(error, AbsentError) else logging.INFO
            log.log(level, "%s: not from %s", name, failures[-1])
            continue
        log.info("%s: %s files from %s: %s", name, part, place.label, candidate.files.images.parent)
        return candidate._replace(genuine=all(genuine))
    raise DataError(f"{name}: no usable {part} files ({'; '.join(failures)}); {ways_to_get(name)}")


def _read_part(files: FilePair, name: str, part: Part) -> _Part:
    """Read both files and check all that can be checked without knowing the contents."""
    images, labels = read_idx(files.images, dims=3), read_idx(files.labels, dims=1)
    if images.shape[1:] != (SIZE, SIZE):
        size = " × ".join(map(str, images.shape[1:]))
        raise DataError(f"{files.images}: expected images of {SIZE} × {SIZE} pixels, found {size}")
    if len(images) != len(labels):
        raise DataError(
            f"{files.labels}: expected {len(images)} labels, as many as {files.images.name} has "
            f"images, found {len(labels)}"
        )
    if labels.max() >= CLASSES:
        at = int(np.argmax(labels >= CLASSES))
        raise DataError(
            f"{files.labels}: expected labels from 0 to {CLASSES - 1}, found {labels[at]} at {at}"
        )
    return _Part(images, labels, files)


def _check_identity(
    candidate: _Part,
    name: str,
    part: Part,
    content: Literal["images", "labels"],
    *,
    published: bool,
) -> bool:
    """Compare with the published checksums; whether they are equal.

    A published file in another's place is an error, everywhere. Any other contents are an error
    where only the `published` ones belong; in a user's own folder they are fine, though a file of
    the full size gets a warning.
    """
    digest = md5(getattr(candidate, content))
    expected = f"{name}'s {part}-{content}"
    actual = _PUBLISHED.get(digest)
    if actual == expected:
        return True
    path: Path = getattr(candidate.files, content)
    if actual or published:
        identity = actual or f"contents with the MD5 {digest}"
        raise DataError(f"{path}: expected {expected}, found {identity}")
    if len(candidate.labels) == FULL_SIZE[part]:
        log.warning("%s: as large as %s, but not the published contents", path, expected)
    return False


def name_of(folder: Path) -> str | None:
    """The published set whose training images lie in `folder`, if it is one."""
    for name in IDX_SETS:
        try:
            images = read_idx(locate(folder, name, "train").images, dims=3)
        except DataError:
            continue
        return next(
            (n for n in IDX_SETS if _PUBLISHED.get(md5(images)) == f"{n}'s train-images"), None
        )
    return None


_PUBLISHED = {
    digest: f"{name}'s {stem}"
    for name, idx_set in IDX_SETS.items()
    for stem, digest in idx_set.md5.items()
}


def _digits(split: str) -> Split:
    """scikit-learn's 1,797 digits of 8 × 8, brought to 28 × 28 by bilinear interpolation.

    Of each class the first four sixths, in the order of the file, are train, the fifth val, the
    last test. The file goes writer by writer, so that most test digits are by other hands.
    """
    from sklearn.datasets import load_digits  # here, because the import takes a second

    raw = load_digits()
    small = torch.from_numpy(raw.images).double()[:, None] * (255 / 16)
    large = functional.interpolate(small, (SIZE, SIZE), mode="bilinear", align_corners=False)
    # Many values lie exactly between two grey levels: the last bit must not decide about those.
    images = (large + 0.5 + 1e-6).floor().to(torch.uint8)
    sixth = np.empty(len(raw.target), np.int64)
    for label in range(CLASSES):
        of_class = raw.target == label
        count = of_class.sum()
        sixth[of_class] = np.arange(count) * 6 // count
    rows = {"train": sixth < 4, "val": sixth == 4, "test": sixth == 5}[split]
    labels = torch.from_numpy(raw.target.astype(np.int64))
    log.info("digits: %s images from scikit-learn", split)
    return Split(images[rows].contiguous(), labels[rows], DIGITS)


def _check_choice(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise DataError(f"unknown {what} {value!r}: expected one of {', '.join(allowed)}")


def _summary(name: str, split: str, data: Split) -> str:
    counts = data.labels.bincount(minlength=CLASSES)
    return (
        f"{name} {split:5} {len(data):6} images, {counts.min()} to {counts.max()} per class, "
        f"fingerprint {data.fingerprint()}"
    )
