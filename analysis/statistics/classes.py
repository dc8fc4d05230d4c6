"""Quality class by class: mean over a class's images with its interval, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.intervals import Floats, MeanInterval, mean_interval


@dataclass(frozen=True)
class ClassQuality:
    """One class: `scores` by model over its images, and `gain`, paired by image.

    `gain` is the first model's score minus the second's, None where there is one model alone.
    Intervals are over images: they say how sure the mean of such images is for these very weights,
    not what another seed would give.
    """

    label: int
    images: int
    scores: Mapping[str, MeanInterval]
    gain: MeanInterval | None


def by_class(scores: Mapping[str, Floats], labels: NDArray[np.int64]) -> tuple[ClassQuality, ...]:
    """`scores` has one value per image `(N,)` for each model, `labels` `(N,)` the classes."""
    return tuple(_class(scores, labels == label, int(label)) for label in np.unique(labels))


def _class(scores: Mapping[str, Floats], mask: NDArray[np.bool_], label: int) -> ClassQuality:
    own = {name: values[mask] for name, values in scores.items()}
    first, *others = own.values()
    gain = mean_interval(first - others[0]) if others else None
    means = {name: mean_interval(values) for name, values in own.items()}
    return ClassQuality(label, int(mask.sum()), means, gain)
