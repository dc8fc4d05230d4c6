"""Overtuning: whether a search that went on has ended worse than it stood before.

Schneider, Bischl & Feurer 2025 (arXiv:2506.19540). With λ*_t the incumbent after t trials, which
the validation score chose, overtuning is test(λ*_T) − min over t of test(λ*_t), and relative
overtuning divides it by what the search had gained at its best, test(λ*_1) − min over t of
test(λ*_t); above 1 it ended below where it began. Test scores are known of confirmed
configurations alone, so that these are the incumbents that count here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics.intervals import CONFIDENCE, MeanInterval, mean_interval
from analysis.statistics.quantities import Direction, sign

Scores = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Overtuning:
    """Of the last of `incumbents`, in the score's unit; positive is worse than it might have been.

    against_first: its distance to the first incumbent, the default, with the interval over seeds.
        Nothing is chosen in it, so that it is unbiased.
    lower, upper: two estimates of overtuning. `upper` takes the least mean as the definition has
        it: never below 0, and too large on average, as the least of several means is flattered.
        `lower` chooses the least on all seeds but one and measures on that one, for each seed in
        turn: too small on average, as what it chooses is not always the best.
    relative: `upper` over the largest gain; NaN where nothing was gained.
    """

    incumbents: tuple[str, ...]
    seeds: tuple[int, ...]
    against_first: MeanInterval
    lower: float
    upper: float
    relative: float

    @property
    def ended_below_first(self) -> bool:
        """Whether more than the seeds' luck speaks for the first incumbent."""
        return self.against_first.low > 0


def overtuning(
    incumbents: Sequence[str],
    scores: Scores,
    direction: Direction,
    *,
    confidence: float = CONFIDENCE,
) -> Overtuning | None:
    """From test scores by configuration and seed; incumbents in the order of the search.

    Only those with scores count, on the seeds that all of them have. None for fewer than two
    incumbents or seeds.
    """
    known = [name for name in dict.fromkeys(incumbents) if scores.get(name)]
    seeds = sorted(set.intersection(*(set(scores[n]) for n in known))) if known else []
    if len(known) < 2 or len(seeds) < 2:
        return None
    worse = -sign(direction)
    costs = worse * np.array([[scores[name][seed] for seed in seeds] for name in known])
    means = costs.mean(axis=1)
    excess = float(means[-1] - means.min())
    gain = float(means[0] - means.min())
    return Overtuning(
        tuple(known),
        tuple(seeds),
        mean_interval(costs[-1] - costs[0], confidence=confidence),
        _crossed(costs),
        excess,
        excess / gain if gain > 0 else math.nan,
    )


def _crossed(costs: np.ndarray) -> float:
    """Costs (incumbents, seeds): the last against the best of the others' seeds, by seed."""
    count = costs.shape[1]
    others = (costs.sum(axis=1, keepdims=True) - costs) / (count - 1)
    best = others.argmin(axis=0)
    return float((costs[-1] - costs[best, np.arange(count)]).mean())
