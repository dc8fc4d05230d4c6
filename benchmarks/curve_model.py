"""Learning curves of configurations that were never trained, from the table of those that were.

`Forest` answers for any point of the space: extremely randomised trees, fitted to the logarithm of
a metric at every epoch, so that a point has one whole curve. `Nearest` answers with the curve of
the nearest configuration of the table. Both add the difference between two seeds of a configuration
of the table, drawn by the trial's own seed: what a search sees of a configuration is noisy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from benchmarks.curve_table import CurveTable
from vae_trainables.config import stable_hash

Floats = NDArray[np.float64]
Parameters = Mapping[str, Any]
TREES = 60


class CurveModel(Protocol):
    """Curves of a metric by the parameters that a sampler chose."""

    def curve(self, parameters: Parameters) -> Floats:
        """`(E,)`: what seeds of the configuration show on average."""

    def trained(self, parameters: Parameters, seed: int) -> Floats:
        """`(E,)`: what the training with one seed shows."""


class Encoding:
    """A point of a space with conditional parameters as numbers.

    Numeric parameters by their place in their range, 0 to 1, logarithmic where the space is; each
    choice of a categorical one as 0 or 1; what a point does not have is -1.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(sorted(distributions.items()))

    def __call__(self, parameters: Parameters) -> list[float]:
        row: list[float] = []
        for name, distribution in self.distributions.items():
            there = name in parameters
            if isinstance(distribution, CategoricalDistribution):
                chosen = parameters[name] if there else None
                row += [
                    float(choice == chosen) if there else -1.0 for choice in distribution.choices
                ]
            else:
                row.append(_place(parameters[name], distribution) if there else -1.0)
        return row


def _place(value: float, distribution: Any) -> float:
    scale = math.log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    return (scale(value) - low) / (high - low)


class _Noise:
    """Differences between seeds, as factors of a curve, drawn by configuration and seed.

    Both of a pair differ from their mean by half of their difference, which has half of a single
    seed's variance twice over: sqrt(2) makes up for it.
    """

    def __init__(self, logs: Floats) -> None:
        """logs: `(N, 2, E)` of configurations that were trained with two seeds."""
        half = (logs[:, 0] - logs[:, 1]) / 2
        self.factors = np.exp(math.sqrt(2) * np.concatenate([half, -half]))

    def draw(self, parameters: Parameters, seed: int) -> Floats:
        """`(E,)`, the same for the same configuration and seed."""
        key = stable_hash([sorted(parameters.items()), seed])
        drawn: Floats = self.factors[int(key, 16) % len(self.factors)]
        return drawn


class Fitted:
    """What both models share: the table's whole curves, encoded."""

    def __init__(
        self, table: CurveTable, metric: str, distributions: Mapping[str, BaseDistribution]
    ) -> None:
        whole = np.flatnonzero(table.complete())
        self.logs: Floats = np.log(table.curve(metric)[whole].astype(float))  # (N, S, E)
        self.encode = Encoding(distributions)
        self.points = np.array([self.encode(table.parameters[i]) for i in whole], np.float32)
        self.noise = _Noise(self.logs)
        self._curves: dict[str, Floats] = {}

    def curve(self, parameters: Parameters) -> Floats:
        """As `CurveModel` says; each point is computed once."""
        key = json.dumps(parameters, sort_keys=True)
        if key not in self._curves:
            point = np.array([self.encode(parameters)], np.float32)
            self._curves[key] = np.exp(self.log_curves(point)[0])
        return self._curves[key]

    def trained(self, parameters: Parameters, seed: int) -> Floats:
        """As `CurveModel` says."""
        return self.curve(parameters) * self.noise.draw(parameters, seed)

    def log_curves(self, points: NDArray[np.float32]) -> Floats:
        """`(P, E)` for encoded points `(P, D)`."""
        raise NotImplementedError


class Forest(Fitted):
    """Extremely randomised trees (Geurts et al. 2006), all epochs at once."""

    def __init__(
        self, table: CurveTable, metric: str, distributions: Mapping[str, BaseDistribution]
    ) -> None:
        super().__init__(table, metric, distributions)
        self.trees = fitted(self.points, self.logs.mean(axis=1))

    def log_curves(self, points: NDArray[np.float32]) -> Floats:
        """As the base says; single trees are asked, for scikit-learn's forest starts threads."""
        return predicted(self.trees, points)


class Nearest(Fitted):
    """The nearest configuration of the table, each encoded number counting alike."""

    def log_curves(self, points: NDArray[np.float32]) -> Floats:
        """As the base says."""
        away = ((self.points[None] - points[:, None]) ** 2).sum(axis=2)
        nearest: Floats = self.logs.mean(axis=1)[away.argmin(axis=1)]
        return nearest


def fitted(points: NDArray[np.float32], logs: Floats) -> Sequence[Any]:
    """Trees for curves `(N, E)` at encoded points `(N, D)`."""
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(TREES, min_samples_leaf=2, max_features=0.5, random_state=0)
    return [tree.tree_ for tree in forest.fit(points, logs).estimators_]


def predicted(trees: Sequence[Any], points: NDArray[np.float32]) -> Floats:
    """`(P, E)`: the trees' mean."""
    mean: Floats = np.mean(
        [tree.predict(points).reshape(len(points), -1) for tree in trees], axis=0
    )
    return mean


def explained(model: Fitted, folds: int = 10) -> tuple[float, float]:
    """Of the last epoch's logarithm, out of fold: explained variance, and Spearman's rank."""
    from scipy.stats import spearmanr

    truth = model.logs.mean(axis=1)
    guessed = np.empty_like(truth)
    fold_of = np.arange(len(truth)) % folds
    for fold in range(folds):
        rest, held = fold_of != fold, fold_of == fold
        guessed[held] = predicted(fitted(model.points[rest], truth[rest]), model.points[held])
    missed = float(((truth[:, -1] - guessed[:, -1]) ** 2).mean())
    rank = float(spearmanr(truth[:, -1], guessed[:, -1]).statistic)
    return 1.0 - missed / float(truth[:, -1].var()), rank
