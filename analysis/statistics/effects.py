"""The effect of one hyperparameter, and of two together, as binned means and medians.

What is shown is what the trials that ran have scored: a sampler that prefers good regions varies
the other hyperparameters along, so a difference between bins need not be this one's doing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.importance import SearchedTrials, cautions, searched_trials
from analysis.statistics.intervals import CONFIDENCE, Floats, bootstrap_interval
from analysis.statistics.search_space import Bin, Dimension

BINS = 6
GRID_BINS = 4


@dataclass(frozen=True)
class BinnedScore:
    """Scores of the `n` trials in a bin: mean and median, each (value, low, high).

    Intervals are percentile bootstraps, NaN under five trials; in an empty bin all is NaN.
    """

    bin: Bin
    n: int
    mean: tuple[float, float, float]
    median: tuple[float, float, float]


@dataclass(frozen=True)
class Effect:
    """The marginal effect of `parameter`; `log` tells the scale on which to draw it."""

    parameter: str
    metric: str
    log: bool
    bins: tuple[BinnedScore, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Interaction:
    """Mean score of the trials in each cell: `means[i][j]` is `rows[i]` of `first` with
    `columns[j]` of `second`, NaN where `counts[i][j]` is 0.
    """

    first: str
    second: str
    metric: str
    rows: tuple[Bin, ...]
    columns: tuple[Bin, ...]
    means: tuple[tuple[float, ...], ...]
    counts: tuple[tuple[int, ...], ...]
    warnings: tuple[str, ...]


def marginal_effect(
    frame: pd.DataFrame,
    parameter: str,
    metric: str,
    distributions: Mapping[str, str],
    *,
    bins: int = BINS,
    status: str = "status",
    budget: str | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Effect:
    """Binned scores of finished trials along `parameter`; arguments as for `importance`.

    Each value is a bin of its own where at most `bins` different ones occur, and each category.
    """
    trials = searched_trials(frame, metric, distributions, status=status)
    dimension = _dimension(trials, parameter)
    rows, scores = _with(trials, [dimension])
    values = [settings[parameter] for settings in rows]
    limits = dimension.bins(values, bins)
    places = dimension.place(values, limits)
    binned = tuple(
        _binned(limit, scores[places == number], confidence, seed)
        for number, limit in enumerate(limits)
    )
    notes = cautions(frame, trials, status=status, budget=budget)
    return Effect(parameter, metric, dimension.log, binned, tuple(notes))


def interaction(
    frame: pd.DataFrame,
    first: str,
    second: str,
    metric: str,
    distributions: Mapping[str, str],
    *,
    bins: int = GRID_BINS,
    status: str = "status",
    budget: str | None = None,
) -> Interaction:
    """Mean scores over a grid of two hyperparameters, usually the two most important."""
    trials = searched_trials(frame, metric, distributions, status=status)
    sides = [_dimension(trials, name) for name in (first, second)]
    rows, scores = _with(trials, sides)
    limits, places = [], []
    for side in sides:
        values = [settings[side.name] for settings in rows]
        limits.append(side.bins(values, bins))
        places.append(side.place(values, limits[-1]))
    shape = (len(limits[0]), len(limits[1]))
    cells = places[0] * shape[1] + places[1]
    counts = np.bincount(cells, minlength=shape[0] * shape[1])
    sums = np.bincount(cells, weights=scores, minlength=counts.size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return Interaction(
        first,
        second,
        metric,
        limits[0],
        limits[1],
        tuple(tuple(row) for row in means.reshape(shape).tolist()),
        tuple(tuple(row) for row in counts.reshape(shape).tolist()),
        tuple(cautions(frame, trials, status=status, budget=budget)),
    )


def _dimension(trials: SearchedTrials, name: str) -> Dimension:
    for dimension in trials.dimensions:
        if dimension.name == name:
            return dimension
    searched = [dimension.name for dimension in trials.dimensions]
    raise ValueError(f"{name!r} was not searched; searched were {searched}")


def _with(
    trials: SearchedTrials, needed: list[Dimension]
) -> tuple[list[dict[str, float | int | str]], Floats]:
    """The trials that have all the `needed` hyperparameters, and their scores."""
    rows = [
        row
        for row, settings in enumerate(trials.settings)
        if all(dimension.name in settings for dimension in needed)
    ]
    return [trials.settings[row] for row in rows], trials.scores[rows]


def _binned(limits: Bin, scores: Floats, confidence: float, seed: int) -> BinnedScore:
    if scores.size == 0:
        nothing = (math.nan, math.nan, math.nan)
        return BinnedScore(limits, 0, nothing, nothing)
    mean = bootstrap_interval(scores, "mean", confidence=confidence, seed=seed)
    median = bootstrap_interval(scores, "median", confidence=confidence, seed=seed)
    return BinnedScore(
        limits,
        int(scores.size),
        (float(scores.mean()), *mean),
        (float(np.median(scores)), *median),
    )
