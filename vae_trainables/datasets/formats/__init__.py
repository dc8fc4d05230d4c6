"""Every format of own data. A new one is one module here and one line in `FORMATS`."""

from __future__ import annotations

from pathlib import Path

from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats import (
    arrays,
    cifar,
    idx_files,
    image_folder,
    libsvm,
    matlab,
    pickles,
    table,
)
from vae_trainables.datasets.formats.format import Format

FORMATS: tuple[Format, ...] = (  # the first that recognises a path reads it
    idx_files.FORMAT,
    arrays.FORMAT,
    table.FORMAT,
    matlab.FORMAT,
    libsvm.FORMAT,
    cifar.FORMAT,
    pickles.FORMAT,
    image_folder.FORMAT,
)


def recognise(path: Path) -> Format:
    """The format of what lies at `path`; raises DataError if it is none of them."""
    for candidate in FORMATS:
        if candidate.recognises(path):
            return candidate
    kinds = "; ".join(candidate.title for candidate in FORMATS if candidate.title)
    what = "nothing" if not path.exists() else "an empty folder" if _empty(path) else "none of them"
    raise DataError(f"{path}: expected one of these: {kinds}; found {what}")


def _empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
