"""Paired comparison of two configurations over the same seeds, and correction for several of them.

The same seed means the same initial weights, order of images and noise, so the difference per
seed varies less than either score. Two tests are computed on these differences:

* the paired t test, which decides: it agrees with the interval that is printed beside it, and
  unlike the permutation test it can decide with five seeds;
* the exact sign-flip permutation test, which needs no normality, as a check. With n seeds its
  two-sided p-value cannot be below 2 / 2**n: .0625 for five seeds, so five can never reach .05.

Under no difference the two scores of a seed can be exchanged, hence the differences are symmetric
around zero even where the scores themselves are skewed; that is where the t test is robust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from analysis.statistics.intervals import CONFIDENCE, Floats, MeanInterval, mean_interval
from analysis.statistics.quantities import Direction, sign

ALPHA = 0.05
EXACT_UP_TO = 12
FLIPS = 50_000
_RELATIVE_ROUNDING = 1e-12

Conclusion = Literal["better", "worse", "uncertain", "too few seeds"]


@dataclass(frozen=True)
class PairedComparison:
    """`configuration` minus `reference` over the seeds both have finished.

    `difference` is in the metric's unit and sign; `advantage` turns it so that positive is better,
    which is what is printed.
    `p_holm` is the p-value of the t test corrected for all comparisons of the study.
    """

    configuration: str
    reference: str
    direction: Direction
    seeds: tuple[int, ...]
    difference: MeanInterval
    p_t: float
    p_sign_flip: float
    p_holm: float

    @property
    def advantage(self) -> MeanInterval:
        """The difference turned towards the better: positive where the configuration is better."""
        if sign(self.direction) > 0:
            return self.difference
        turned = self.difference
        return replace(turned, mean=-turned.mean, low=-turned.high, high=-turned.low)

    @property
    def gain(self) -> float:
        """The mean advantage."""
        return self.advantage.mean

    @property
    def varies(self) -> bool:
        """Whether the difference varies over the seeds at all, beyond rounding."""
        return _varies(self.difference)

    @property
    def sign_flip_floor(self) -> float:
        """The smallest two-sided p-value that the sign-flip test can give with these seeds."""
        return 2.0 ** (1 - len(self.seeds))

    @property
    def conclusion(self) -> Conclusion:
        """What may be said at the 5 % level after the correction for several comparisons."""
        if np.isnan(self.p_holm):
            return "too few seeds"
        if self.p_holm > ALPHA:
            return "uncertain"
        return "better" if self.gain > 0 else "worse"


def paired_t(differences: Sequence[float] | Floats) -> float:
    """Two-sided p-value of the paired t test, NaN for fewer than two differences.

    t = mean / (std / sqrt(n)) with n - 1 degrees of freedom (Student 1908). Differences that do
    not vary leave no error to compare with: the sign-flip test then stands in.
    """
    sample = np.asarray(differences, dtype=np.float64)
    estimate = mean_interval(sample)
    if estimate.n < 2:
        return float("nan")
    if not _varies(estimate):
        return sign_flip(sample)
    t = estimate.mean / (estimate.std / np.sqrt(estimate.n))
    return float(2 * stats.t.sf(abs(t), estimate.n - 1))


def _varies(estimate: MeanInterval) -> bool:
    return estimate.std > _RELATIVE_ROUNDING * abs(estimate.mean)


def sign_flip(differences: Sequence[float] | Floats, *, seed: int = 0) -> float:
    """Two-sided p-value of the sign-flip permutation test of "symmetric around zero".

    Exact over all 2**n sign patterns up to n = 12, beyond that 50,000 random ones counted as
    (hits + 1) / (draws + 1) so that it stays valid (Phipson and Smyth 2010). NaN without values.
    Source of the test: Fisher (1935), "The Design of Experiments", section 21.
    """
    sample = np.asarray(differences, dtype=np.float64)
    n = int(sample.size)
    if n == 0:
        return float("nan")
    threshold = abs(sample.sum()) - _RELATIVE_ROUNDING * np.abs(sample).sum()
    if n <= EXACT_UP_TO:
        return float(np.mean(np.abs(_all_signs(n) @ sample) >= threshold))
    drawn = np.random.default_rng(seed).integers(2, size=(FLIPS, n), dtype=np.int8) * 2 - 1
    hits = int(np.sum(np.abs(drawn @ sample) >= threshold))
    return (hits + 1) / (FLIPS + 1)


def _all_signs(n: int) -> Floats:
    """Sign patterns (2**(n - 1), n); the last sign stays +1, as its mirror has the same |sum|."""
    patterns = np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1
    return np.asarray(1 - 2 * patterns, dtype=np.float64)


def holm(p_values: Sequence[float] | Floats) -> tuple[float, ...]:
    """Adjusted p-values that keep the chance of any false finding under the level.

    The i-th smallest of m becomes max over j <= i of min(1, (m - j + 1) * p_j); NaN (not tested)
    stays NaN and does not count. Source: Holm (1979), Scand. J. Statistics 6.
    """
    raw = np.asarray(p_values, dtype=np.float64)
    if ((raw < 0) | (raw > 1)).any():
        raise ValueError(f"p-values must lie in [0, 1], got {raw.tolist()}")
    adjusted = np.full(raw.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(raw))
    order = tested[np.argsort(raw[tested], kind="stable")]
    weights = np.arange(order.size, 0, -1)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, weights * raw[order]))
    return tuple(adjusted.tolist())


def compare(
    configuration: str,
    reference: str,
    scores: Mapping[str, Mapping[int, float]],
    *,
    direction: Direction,
    confidence: float = CONFIDENCE,
) -> PairedComparison:
    """The paired comparison of two configurations, `scores[configuration][seed]` being finite.

    Only seeds that both have count. `p_holm` equals `p_t` until `corrected` sees all comparisons.
    """
    ours, theirs = scores.get(configuration, {}), scores.get(reference, {})
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    differences = np.asarray([ours[seed] - theirs[seed] for seed in seeds], dtype=np.float64)
    p_t = paired_t(differences)
    return PairedComparison(
        configuration,
        reference,
        direction,
        seeds,
        mean_interval(differences, confidence=confidence),
        p_t,
        sign_flip(differences),
        p_t,
    )


def corrected(comparisons: Sequence[PairedComparison]) -> tuple[PairedComparison, ...]:
    """The comparisons with `p_holm` filled in over all of them."""
    adjusted = holm([comparison.p_t for comparison in comparisons])
    return tuple(
        replace(comparison, p_holm=p) for comparison, p in zip(comparisons, adjusted, strict=True)
    )
