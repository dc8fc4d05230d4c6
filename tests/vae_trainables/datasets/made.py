"""One small set of images, written in every format that is read."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from vae_trainables.datasets.formats.cifar import SHAPE
from vae_trainables.datasets.idx import write_idx

CLASSES, PER_CLASS = 3, 10


def images(channels: int = 1, size: tuple[int, int] = (16, 16)) -> NDArray[np.uint8]:
    """`(30, C, H, W)`, all different, sorted by class; class and image can be read off pixels."""
    made = np.zeros((CLASSES * PER_CLASS, channels, *size), np.uint8)
    for i, image in enumerate(made):
        image[:, 2:6, 2:9] = 60 * (i // PER_CLASS) + 40
        image[0, -1, :3] = 8 * i, 250, 255  # not symmetric: a turned image would be seen
    if channels == 3:
        made[:, 1, 8:, :] = 90
    return made


def labels() -> NDArray[np.int64]:
    """Sorted by class, as own files are."""
    return np.repeat(np.arange(CLASSES), PER_CLASS)


def folder(root: Path, values: NDArray[np.uint8], names: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """A sub-folder of PNGs per class."""
    for i, (image, label) in enumerate(zip(values, labels(), strict=True)):
        path = root / names[label] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(image, path)
    return root


def save(image: NDArray[np.uint8], path: Path) -> None:
    """`(C, H, W)` as a picture."""
    pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def csv(path: Path, values: NDArray[np.uint8], *, header: bool = True, place: int = 0) -> Path:
    """A row per image, the label in column `place`."""
    rows = np.insert(values.reshape(len(values), -1).astype(np.int64), place, labels(), axis=1)
    names = [f"pixel{i}" for i in range(rows.shape[1] - 1)]
    names.insert(place, "label")
    lines = [",".join(map(str, row)) for row in rows.tolist()]
    path.write_text("\n".join([",".join(names), *lines] if header else lines) + "\n")
    return path


def idx(root: Path, values: NDArray[np.uint8], first: str = "") -> Path:
    """Files of a training part, whose names begin with `first`."""
    root.mkdir(parents=True, exist_ok=True)
    write_idx(root / f"{first}train-images-idx3-ubyte.gz", values[:, 0])
    write_idx(root / f"{first}train-labels-idx1-ubyte.gz", labels().astype(np.uint8))
    return root


def svhn(root: Path, values: NDArray[np.uint8]) -> Path:
    """`(H, W, 3, N)` with 10 for the digit 0."""
    root.mkdir(parents=True, exist_ok=True)
    numbers = np.where(labels() == 0, 10, labels())[:, None]
    savemat(root / "train_32x32.mat", {"X": values.transpose(2, 3, 1, 0), "y": numbers})
    return root


def usps(root: Path, values: NDArray[np.uint8]) -> Path:
    """Lines of `label index:value` with values from -1 to 1."""
    root.mkdir(parents=True, exist_ok=True)
    rows = values.reshape(len(values), -1) / 255 * 2 - 1
    lines = [
        " ".join([str(label + 1), *(f"{i + 1}:{value:.7f}" for i, value in enumerate(row))])
        for label, row in zip(labels(), rows, strict=True)
    ]
    (root / "usps.bz2").write_bytes(bz2.compress(("\n".join(lines) + "\n").encode()))
    return root


def cifar(root: Path, values: NDArray[np.uint8]) -> Path:
    """The binary version, unpacked."""
    inner = root / "cifar-10-batches-bin"
    inner.mkdir(parents=True, exist_ok=True)
    assert values.shape[1:] == SHAPE
    records = np.concatenate(
        [labels()[:, None].astype(np.uint8), values.reshape(len(values), -1)], 1
    )
    for number in (0, 1):
        records[number::2].tofile(inner / f"data_batch_{number + 1}.bin")
    return root
