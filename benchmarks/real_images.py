"""Published images for the benchmarks, from wherever the data layer has them."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from vae_trainables import datasets
from vae_trainables.datasets import DataError, Split
from vae_trainables.datasets.idx import write_idx


def load(name: str, data_dir: Path | None = None) -> tuple[Split, Split, Split]:
    """Training, validation and test images; ends the program in one line if they are nowhere."""
    try:
        splits = datasets.load_splits(name, datasets.SPLITS, data_dir)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    return splits["train"], splits["val"], splits["test"]


def write_for_torchvision(folder: Path) -> None:
    """Fashion-MNIST as raw files in `folder`, laid out as torchvision's class wants them."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    train, val, test = load("fashion-mnist")
    for part, splits in {"train": (train, val), "t10k": (test,)}.items():
        images = torch.cat([split.images[:, 0] for split in splits])
        labels = torch.cat([split.labels for split in splits]).to(torch.uint8)
        write_idx(raw / f"{part}-images-idx3-ubyte", images.numpy())
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels.numpy())
