"""USPS as published: `usps.bz2` and `usps.t.bz2`, lines of `label index:value`, values -1 to 1."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np

from vae_trainables.datasets import layouts, memory
from vae_trainables.datasets.contents import Contents, Part, Pictures
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats.format import Format, files_in
from vae_trainables.datasets.sizes import Resize

FILES: dict[str, Part] = {"usps.bz2": "train", "usps.t.bz2": "test"}
EXPANDS = 8  # times at most, as published: 16


def _files(path: Path) -> dict[Part, Path]:
    return {FILES[file.name]: file for file in files_in(path) if file.name in FILES}


def _recognises(path: Path) -> bool:
    return bool(_files(path))


def _read(path: Path, resize: Resize) -> Contents:
    memory.require(sum(file.stat().st_size * EXPANDS for file in _files(path).values()), str(path))
    names = {label: str(label - 1) for label in range(1, 11)}  # its classes are numbered from 1
    parts = {part: _pictures(file) for part, file in _files(path).items()}
    return Contents("libsvm file (USPS)", parts, names)


def _pictures(path: Path) -> Pictures:
    rows, labels = [], []
    try:
        with bz2.open(path, "rt") as lines:
            for line in lines:
                label, *pairs = line.split()
                labels.append(int(float(label)))
                rows.append([float(pair.partition(":")[2]) for pair in pairs])
        values = np.array(rows, np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: damaged, or no libsvm file: {error}") from error
    images = np.rint((values + 1) * 127.5).astype(np.uint8)
    return Pictures(layouts.as_nchw(images, str(path)), np.array(labels))


FORMAT = Format("USPS's .bz2 files", _recognises, _read)
