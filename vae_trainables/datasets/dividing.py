"""Which image belongs to train, val or test: stratified, seeded, and none in two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 20  # of every division here: a study's data does not depend on its --seed
SHARE = 0.15  # of the images that each missing one of val and test gets
Indices = NDArray[np.int64]


def stratified(
    labels: NDArray[np.int64], shares: Mapping[str, float], rest: str = "train"
) -> dict[str, Indices]:
    """Divide images with `labels` `(N,)`; each class goes to each part by its share, shuffled.

    A class gives every part at least one image, in the order of `shares`, and keeps at least one
    for `rest`; where all classes are too small for that, a part gets one image of any. Returns
    places by part, each in the order of `fair`.
    """
    rng = np.random.default_rng(SEED)
    places: dict[str, list[int]] = {name: [] for name in (rest, *shares)}
    for label in np.unique(labels):
        left = rng.permutation(np.flatnonzero(labels == label)).tolist()
        count = len(left)
        for name, share in shares.items():
            take = min(max(1, round(share * count)), len(left) - 1)
            places[name] += left[:take]
            left = left[take:]
        places[rest] += left
    for name in shares:
        if not places[name] and len(places[rest]) > 1:
            places[name].append(places[rest].pop())
    return {name: np.array(at, np.int64)[fair(labels[at])] for name, at in places.items()}


def fair(labels: NDArray[np.int64]) -> Indices:
    """An order in which the first N have the classes in the whole's proportions, at random else."""
    rng = np.random.default_rng(SEED)
    when = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        when[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((labels, when))


def digests(images: NDArray[np.uint8]) -> NDArray[Any]:
    """What tells images `(N, ...)` apart, one per image."""
    return np.array(
        [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images]
    )


def without(seen: set[str], marks: NDArray[Any]) -> tuple[Indices, Indices]:
    """Places of `marks` that are not among the `seen`, and of those that are."""
    twice = np.array([mark in seen for mark in marks], bool)
    return np.flatnonzero(~twice), np.flatnonzero(twice)


def shares(missing: Sequence[str]) -> dict[str, float]:
    """The share of each missing part."""
    return dict.fromkeys(missing, SHARE)
