"""Python pickles, such as CIFAR's python version: recognised to be refused.

Unpickling a file runs what it says. Nothing foreign is unpickled here.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats.format import Format, files_in
from vae_trainables.datasets.sizes import Resize

_ENDINGS = (".pkl", ".pickle", ".pt", ".pth")
_MAGIC = tuple(b"\x80" + bytes([version]) for version in range(2, 6))
_TRAINS = ("data_batch_1", "train")


def _files(path: Path) -> list[Path]:
    folder = path / "cifar-10-batches-py"
    files = files_in(folder if folder.is_dir() else path)
    return [file for file in files if file.suffix in _ENDINGS or _is_batch(file)]


def _is_batch(path: Path) -> bool:
    if path.name not in _TRAINS:
        return False
    with path.open("rb") as file:
        return file.read(2) in _MAGIC


def _recognises(path: Path) -> bool:
    return bool(_files(path))


def _read(path: Path, resize: Resize) -> NoReturn:
    raise DataError(
        f"{_files(path)[0]}: a pickle, which would run what it says when it is read, so it is not: "
        "take CIFAR-10's binary version (cifar-10-binary.tar.gz) or, where you trust the file, "
        "write its arrays with numpy.savez(FILE, images=..., labels=...) and give that"
    )


FORMAT = Format("", _recognises, _read)
