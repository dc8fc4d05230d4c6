"""The one door through which a study's images come in, whatever they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vae_trainables.config import Binarise, DataConfig
from vae_trainables.datasets import binarising, own, published
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.named import NAMED, locate
from vae_trainables.datasets.own import OwnData
from vae_trainables.datasets.sizes import Resize
from vae_trainables.datasets.splits import Facts, Split

AUTO = Resize()
Arrays = Callable[[], Mapping[str, Any]]
"""Makes arrays by name, as an .npz would hold them: `images` and `labels`, `x_train` ..."""


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes:
        dataset: the name, as `TrialConfig.dataset` keeps it.
        path: a file or folder of own data; None for sets that go by their name, and for arrays.
        folder: where the files of a named set are; None for the usual places.
        resize: see `sizes`.
        arrays: own data from Python.
        binarise: what becomes of grey values, see `binarising`.
    """

    dataset: str
    path: Path | None = None
    folder: Path | None = None
    resize: Resize = AUTO
    arrays: Arrays | None = None
    binarise: Binarise = "none"

    @property
    def is_published(self) -> bool:
        """Whether it is a set that a configuration's defaults fit."""
        return self.path is None and self.arrays is None and self.dataset not in NAMED

    def splits(self, names: Iterable[str] = published.SPLITS) -> dict[str, Split]:
        """The splits by name; raises DataError."""
        if self.is_published:
            grey = published.load_splits(self.dataset, names, self.folder)
        else:
            grey = {name: self.own.splits[name] for name in names}
        return binarising.binarised(grey, self.binarise)

    @cached_property
    def own(self) -> OwnData:
        """Own data as it was understood, read once; raises DataError."""
        if self.arrays is not None:
            return own.from_arrays(self.arrays(), self.resize, self.dataset)
        if self.path is not None:
            return own.read(self.path, self.resize, self.dataset)
        path = locate(self.dataset, self.folder, download=True)
        return own.read(path, self.resize, self.dataset, NAMED[self.dataset].classes)

    @property
    def facts(self) -> Facts | None:
        """What a configuration has to fit; None where its defaults do."""
        return None if self.is_published else self.own.facts


def open_source(
    dataset: str,
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    resize: str = "auto",
    arrays: Arrays | None = None,
) -> Source:
    """The source that a study's flags mean; looks at no image yet.

    Args:
        dataset: a set's name, or a path, as `TrialConfig.dataset` has it.
        data: a path or a set's name in its place.
        data_dir: where the files of a set that goes by its name are.
        resize: see `sizes`.
        arrays: own data of a study file; `data` goes before it.

    Raises DataError for a path that is not there, a name that is unknown, or a bad `resize`.
    """
    rule, address = Resize.parse(resize), data or dataset
    if data is None and arrays is not None:
        return Source(dataset, resize=rule, arrays=arrays)
    if address in published.NAMES or address in NAMED:
        return Source(address, folder=data_dir, resize=rule)
    path = Path(address).expanduser()
    if not path.exists() and not _begins_a_name(path):
        raise DataError(
            f"{address}: neither a file or folder that is there nor a data set's name "
            f"({', '.join((*published.NAMES, *NAMED))})"
        )
    if (name := published.name_of(path)) is not None:
        return Source(name, folder=path, resize=rule)
    return Source(_name(path), path=path, resize=rule)


def recorded_source(
    wanted: DataConfig,
    settings: Mapping[str, Any],
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    arrays: Arrays | None = None,
) -> Source:
    """The source of a study that was recorded with these `settings`.

    wanted: of its trials' configurations. data, data_dir: where the images are now, if not where
    they were. arrays: own data of its file.
    """
    dataset = wanted.dataset
    if data is None and data_dir is None:
        data = settings.get("data")
        data_dir = Path(settings["data_dir"]) if settings.get("data_dir") else None
    arrays = arrays if settings.get("dataset") is None else None
    if data is None and arrays is None and dataset not in (*published.NAMES, *NAMED):
        raise DataError(
            f"the images of {dataset} came from the study's own file: give them with --data PATH"
        )
    resize = str(settings.get("resize") or "auto")
    source = open_source(dataset, data=data, data_dir=data_dir, resize=resize, arrays=arrays)
    return replace(source, binarise=wanted.binarise)


def _begins_a_name(path: Path) -> bool:
    return path.parent.is_dir() and any(path.parent.glob(f"{path.name}-*"))


def _name(path: Path) -> str:
    """What own data is called in tables: the path's last part, unless a known set has that name."""
    stem = re.sub(r"\.(npz|npy|csv|gz|zip|bz2|xz)", "", path.absolute().name) or "data"
    return f"own-{stem}" if stem in published.NAMES or stem in NAMED else stem
