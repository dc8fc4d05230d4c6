"""Quality class by class: of one run over a class's images, or of several over their seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.intervals import Floats, MeanInterval, mean_interval


@dataclass(frozen=True)
class ClassQuality:
    """One class: `scores` by model, and `gain`, the first model's minus the second's.

    `gain` is paired, None where there is one model alone. Intervals over images (`by_class`) say
    how sure the mean of such images is for these very weights, not what another seed would give;
    those over seeds (`over_seeds`) say that, for these very images.
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


Statistic = Callable[[Floats, NDArray[np.bool_]], float]
"""Of one score per image `(N,)` and which of them belong to the class."""


def class_mean(scores: Floats, own: NDArray[np.bool_]) -> float:
    """The mean over the class's images."""
    return float(scores[own].mean())


def auroc(scores: Floats, own: NDArray[np.bool_]) -> float:
    """Chance that an image of the class scores higher than one of the others, ties counted half.

    NaN where either are none. Source: Hanley and McNeil (1982), Radiology 143.
    """
    inside, outside = int(own.sum()), int((~own).sum())
    if not inside or not outside:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[own].sum() - inside * (inside + 1) / 2) / (inside * outside))


def over_seeds(
    scores: Mapping[str, Mapping[int, Floats]], labels: NDArray[np.int64], statistic: Statistic
) -> tuple[ClassQuality, ...]:
    """`scores` has one value per image `(N,)` for each model and seed, `labels` `(N,)` the classes.

    The gain is paired by seed, over those that both models have.
    """
    classes = []
    for label in np.unique(labels):
        own = labels == label
        values = {
            name: {seed: statistic(scored, own) for seed, scored in runs.items()}
            for name, runs in scores.items()
        }
        first, *others = values.values()
        gain = None
        if others:
            both = sorted(first.keys() & others[0].keys())
            gain = mean_interval([first[seed] - others[0][seed] for seed in both])
        means = {name: mean_interval(list(runs.values())) for name, runs in values.items()}
        classes.append(ClassQuality(int(label), int(own.sum()), means, gain))
    return tuple(classes)
