"""CIFAR-10's binary version: `data_batch_1.bin` to `_5.bin` and `test_batch.bin`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets import memory
from vae_trainables.datasets.contents import Contents, Part, Pictures
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats.format import Format, files_in
from vae_trainables.datasets.sizes import Resize

FOLDER = "cifar-10-batches-bin"
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # a label and the pixels
NAMES = (  # as in its batches.meta.txt
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def _files(path: Path) -> dict[Part, list[Path]]:
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    files = [file for file in files_in(folder) if file.suffix == ".bin"]
    batches: dict[Part, list[Path]] = {
        "train": [file for file in files if file.name.startswith("data_batch")],
        "test": [file for file in files if file.name.startswith("test_batch")],
    }
    return {part: paths for part, paths in batches.items() if paths}


def _recognises(path: Path) -> bool:
    return bool(_files(path))


def _read(path: Path, resize: Resize) -> Contents:
    files = _files(path)
    memory.require(
        2 * sum(file.stat().st_size for paths in files.values() for file in paths), str(path)
    )
    parts = {part: _pictures(paths) for part, paths in files.items()}
    return Contents("CIFAR-10, binary version", parts, dict(enumerate(NAMES)))


def _pictures(paths: list[Path]) -> Pictures:
    records = np.concatenate([_records(path) for path in paths])
    return Pictures(records[:, 1:].reshape(-1, *SHAPE), records[:, 0])


def _records(path: Path) -> NDArray[np.uint8]:
    values = np.fromfile(path, np.uint8)
    if not values.size or values.size % RECORD:
        raise DataError(f"{path}: {values.size} bytes are no records of {RECORD}: damaged?")
    return values.reshape(-1, RECORD)


FORMAT = Format("CIFAR-10's binary version", _recognises, _read)
