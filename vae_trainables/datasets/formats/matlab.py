"""SVHN's cropped digits as published: `train_32x32.mat` and `test_32x32.mat`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from vae_trainables.datasets import memory
from vae_trainables.datasets.contents import Contents, Part, Pictures, part_of
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats.format import Format, files_in
from vae_trainables.datasets.sizes import Resize


def _files(path: Path) -> dict[Part, Path]:
    """SVHN's `extra_32x32.mat`, half a million easier digits, is left alone."""
    files = {part_of(file.name): file for file in files_in(path) if file.suffix == ".mat"}
    return {part: file for part, file in files.items() if part != "all" or path.is_file()}


def _recognises(path: Path) -> bool:
    return bool(_files(path))


def _read(path: Path, resize: Resize) -> Contents:
    parts = {part: _pictures(file) for part, file in _files(path).items()}
    return Contents("MATLAB file (SVHN)", parts, {10: "0"})


def _pictures(path: Path) -> Pictures:
    from scipy.io import loadmat, whosmat

    try:
        shapes = {name: shape for name, shape, _ in whosmat(path)}
        if "X" not in shapes or len(shapes["X"]) != 4:
            raise DataError(f"{path}: expected SVHN's X (H, W, 3, N) and y, found {shapes}")
        memory.require(2 * math.prod(shapes["X"]), str(path))
        stored = loadmat(path, variable_names=("X", "y"))
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: damaged, or no MATLAB file of version 5: {error}") from error
    images = np.ascontiguousarray(stored["X"].transpose(3, 2, 0, 1))
    return Pictures(images, stored["y"].ravel() if "y" in stored else None)


FORMAT = Format("SVHN's .mat files", _recognises, _read)
