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
    for `rest`. Returns places by part, each in random order.
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
    return {name: shuffled(np.array(sorted(found), np.int64)) for name, found in places.items()}


def shuffled(places: Indices) -> Indices:
    """In an order of its own: the first N of any part are then a fair sample of it."""
    return np.random.default_rng(SEED).permutation(places)


def digests(images: NDArray[np.uint8]) -> NDArray[Any]:
    """What tells images `(N, ...)` apart, one per image."""
    return np.array(
        [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images]
    )


def without(known: set[str], marks: NDArray[Any]) -> tuple[Indices, Indices]:
    """Places of `marks` that are not among the `known`, and of those that are."""
    twice = np.array([mark in known for mark in marks], bool)
    return np.flatnonzero(~twice), np.flatnonzero(twice)


def shares(missing: Sequence[str]) -> dict[str, float]:
    """The share of each missing part."""
    return dict.fromkeys(missing, SHARE)
