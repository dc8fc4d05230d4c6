"""What a format declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vae_trainables.datasets.contents import Contents
from vae_trainables.datasets.sizes import Resize


@dataclass(frozen=True)
class Format:
    """One kind of file or folder.

    title: for the list of what is read; empty for a kind that is recognised to be refused.
    recognises: whether a path, which may not exist, is of this kind; cheap, raises nothing.
    read: the contents; raises DataError. It asks `memory.require` before it decodes, and brings
        images of differing sizes to one by the given rule: equal ones may stay as they are.
    """

    title: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Resize], Contents]


def files_in(path: Path) -> list[Path]:
    """The files of a folder, or the one file that `path` is; hidden ones left out."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        return []
    return sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
