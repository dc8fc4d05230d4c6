"""Intervals: of a mean over seeds, of a curve at every x, and by bootstrap where nothing is normal.

Student's interval is the default because seeds are few (3 to 10): a percentile bootstrap of five
values covers about 85 % where it promises 95 %, Student's covers 95 % for noise near normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
FEWEST_FOR_BOOTSTRAP = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its interval; `std` is the sample deviation (n - 1), NaN where n < 2."""

    mean: float
    low: float
    high: float
    std: float
    n: int
    confidence: float = CONFIDENCE

    @property
    def half_width(self) -> float:
        """Half the interval's width, in the unit of the values."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Band:
    """A curve over seeds: at `x[i]` the mean of `n[i]` values and its interval (NaN for n < 2)."""

    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: tuple[int, ...]


def student_half_width(std: Floats, n: NDArray[np.int64], *, confidence: float) -> Floats:
    """t(1 - (1 - confidence) / 2, n - 1) * std / sqrt(n), element by element; NaN where n < 2.

    Source: Student (1908), "The probable error of a mean", Biometrika 6.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
    counts = np.maximum(n, 2)
    factor = np.vectorize(_student_quantile, otypes=[np.float64])(0.5 + confidence / 2, counts - 1)
    return np.where(n >= 2, factor * std / np.sqrt(counts), np.nan)


@cache  # a report and a simulation ask for few of them, thousands of times, at 0.1 ms
def _student_quantile(share: float, freedom: int) -> float:
    return float(stats.t.ppf(share, freedom))


def mean_interval(
    values: Sequence[float] | Floats, *, confidence: float = CONFIDENCE
) -> MeanInterval:
    """Mean and Student t interval of independent values, such as one score per seed.

    One value has a mean and no interval (NaN); none has neither. Raises ValueError for a value
    that is not finite: whether to leave a failed seed out is the caller's decision to report.
    """
    sample = np.asarray(values, dtype=np.float64)
    if not np.isfinite(sample).all():
        raise ValueError(f"every value must be finite, got {sample.tolist()}: leave failures out")
    n = int(sample.size)
    mean = float(sample.mean()) if n else float("nan")
    std = float(sample.std(ddof=1)) if n > 1 else float("nan")
    half = float(student_half_width(np.asarray(std), np.asarray(n), confidence=confidence))
    return MeanInterval(mean, mean - half, mean + half, std, n, confidence)


def new_draw_interval(
    gaps: Sequence[float] | Floats, *, draws: int = 1, confidence: float = CONFIDENCE
) -> MeanInterval:
    """Mean of `gaps`, each one new score minus one of n others, and its prediction interval.

    The new score is the mean of `draws` draws of the same kind as the n others, so its distance
    from their mean varies by s * sqrt(1 / draws + 1 / n), with n - 1 degrees of freedom: the
    interval holds zero in the share `confidence` of cases where nothing but chance is at work.
    Source: Hahn and Meeker (1991), "Statistical Intervals", section 4.7 and 4.8.
    """
    estimate = mean_interval(gaps, confidence=confidence)
    half = estimate.half_width * float(np.sqrt(1 + estimate.n / draws))
    return replace(estimate, low=estimate.mean - half, high=estimate.mean + half)


def band(
    frame: pd.DataFrame,
    *,
    x: str,
    value: str,
    seed: str = "seed",
    confidence: float = CONFIDENCE,
) -> Band:
    """Mean and Student t interval of `value` over seeds at every `x` (epoch, noise factor).

    `frame` has one row per (x, seed); rows whose value is not finite are left out, which `n`
    shows. The interval holds at each x alone, not for the whole curve at once. Raises ValueError
    where a seed appears twice at one x: counting it twice would narrow the band.
    """
    finite = frame[np.isfinite(frame[value].to_numpy(dtype=np.float64))]
    repeated = finite[finite.duplicated([x, seed])]
    if len(repeated):
        number, place = repeated[seed].tolist()[0], repeated[x].tolist()[0]
        raise ValueError(f"seed {number} appears twice at {x} = {place}: pass it once")
    grouped = finite.groupby(x, sort=True)[value]
    mean = grouped.mean().to_numpy(dtype=np.float64)
    n = grouped.size().to_numpy(dtype=np.int64)
    std = grouped.std(ddof=1).to_numpy(dtype=np.float64)
    half = student_half_width(std, n, confidence=confidence)
    places = np.asarray(sorted(grouped.groups), dtype=np.float64)
    return Band(
        tuple(places.tolist()),
        tuple(mean.tolist()),
        tuple((mean - half).tolist()),
        tuple((mean + half).tolist()),
        tuple(n.tolist()),
    )


def bootstrap_interval(
    values: Sequence[float] | Floats,
    statistic: Literal["mean", "median"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean or median; NaN under five values.

    Source: Efron (1979), "Bootstrap methods: another look at the jackknife", Ann. Stat. 7.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size < FEWEST_FOR_BOOTSTRAP:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    drawn = sample[rng.integers(sample.size, size=(resamples, sample.size))]
    replicates = drawn.mean(axis=1) if statistic == "mean" else np.median(drawn, axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)
