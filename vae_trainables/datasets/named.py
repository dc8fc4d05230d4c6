"""Data sets that go by a name besides the published ones of the references: torchvision's.

Their files are read from disk as any own data; where they are not there, torchvision downloads
them. A new one is one entry of `NAMED`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vae_trainables.datasets import sources
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats.cifar import NAMES as CIFAR_NAMES
from vae_trainables.datasets.formats.idx_files import find

_SYLLABLES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataclass(frozen=True)
class NamedSet:
    """Where a set's files are and how they are had.

    torchvision: its class; empty where what it downloads cannot be read here.
    calls: keywords of the class for each part that it downloads.
    inside: where it puts the files below its root, and how their names begin.
    files: what the user is to provide where there is no download.
    """

    torchvision: str = ""
    calls: tuple[Mapping[str, Any], ...] = ({},)
    inside: str = ""
    files: str = ""
    classes: Mapping[Any, str] = field(default_factory=dict)


NAMED: dict[str, NamedSet] = {
    "kmnist": NamedSet("KMNIST", inside="KMNIST/raw/", classes=dict(enumerate(_SYLLABLES))),
    "qmnist": NamedSet("QMNIST", ({"what": "train"}, {"what": "test"}), "QMNIST/raw/qmnist"),
    "usps": NamedSet("USPS", ({"train": True}, {"train": False})),
    "svhn": NamedSet("SVHN", ({"split": "train"}, {"split": "test"})),
    "cifar10": NamedSet(
        files="torchvision downloads it as pickles, which are not read here: unpack CIFAR-10's "
        "binary version (cifar-10-binary.tar.gz)",
        classes=dict(enumerate(CIFAR_NAMES)),
    ),
} | {
    f"emnist-{split}": NamedSet("EMNIST", ({"split": split},), f"EMNIST/raw/emnist-{split}")
    for split in ("balanced", "byclass", "bymerge", "letters", "digits", "mnist")
}


def locate(name: str, root: Path | None, *, download: bool) -> Path:
    """Where the files of set `name` are, as a path for `own.read`.

    Looks in `root` and where torchvision puts them below it; without `root` in the user's cache,
    into which they are downloaded if need be. Raises DataError.
    """
    entry = NAMED[name]
    base = root or sources.cache_folder(name)
    places = [base / entry.inside, base] if entry.inside else [base]
    for place in places:
        if place.is_dir() and any(place.iterdir()):
            return place
        if not place.is_dir() and find(place):  # the beginning of the files' names
            return place
    if root is not None or not download or not entry.torchvision:
        how = entry.files or f"`python -m vae_trainables.datasets fetch {name}`"
        raise DataError(f"{name}: nothing in {base}; {how}" + ("" if root else f" into {base}"))
    return _download(name, entry, base)


def _download(name: str, entry: NamedSet, target: Path) -> Path:
    """Keep what was asked for alone: EMNIST's archive holds six sets."""
    folder, _, beginning = entry.inside.rpartition("/")
    with sources.workspace(target) as work:
        sources.run_torchvision(name, entry.torchvision, entry.calls, work)
        for path in sorted((work / folder).iterdir()):
            if path.is_file() and path.name.startswith(beginning) and path.suffix != ".zip":
                os.replace(path, target / path.name)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
    return target
