"""Cut the small balanced slices that the tests use out of the full data sets.

    python tests/data/make_slices.py fashion-mnist
    python tests/data/make_slices.py mnist --data-dir FOLDER_WITH_MNIST

The first images of each class, in turns (classes 0, 1, … 9, 0, 1, …), so that every ten images in
a row hold every class. The same input gives the same bytes. Sources and licences: README.md here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from vae_trainables.idx import write_idx

from vae_trainables.datasets import Split, load

SIZES = {"train": 600, "t10k": 200}


def balanced(split: Split, count: int) -> Split:
    """The first `count` / 10 images of each class, in turns."""
    of_class = [(split.labels == label).nonzero()[: count // 10, 0] for label in range(10)]
    order = torch.stack(of_class, 1).flatten()
    return Split(split.images[order], split.labels[order])


def write_slices(name: str, data_dir: str | None, folder: Path) -> None:
    """Write the four files of the slice of `name` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in SIZES.items():
        cut = balanced(load(name, "train" if part == "train" else "test", data_dir), count)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", cut.images[:, 0].numpy())
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", cut.labels.to(torch.uint8).numpy())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=("fashion-mnist", "mnist"))
    parser.add_argument("--data-dir", metavar="DIR", help="folder with the full set's IDX files")
    options = parser.parse_args()
    write_slices(options.name, options.data_dir, Path(__file__).parent / options.name)
