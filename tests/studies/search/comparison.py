"""Whether one sampler finds worse results than another: paired by seed, at a level for all at once.

Two searches of one seed meet the same curves, faults and first suggestions, so they are compared
with each other (Wilcoxon's signed-rank test, one-sided, exact where no two differ by the same).
One question in twenty would look worse by chance: Holm's step-down over all questions that are
asked of a sampler keeps the chance of a single false "worse" at `LEVEL`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from statistics import median

import numpy as np
from scipy.stats import wilcoxon

from analysis.statistics.paired import holm

LEVEL = 0.05
Bests = Mapping[Hashable, Sequence[float]]  # by question: the best of each seed's search


def p_worse(bests: Sequence[float], others: Sequence[float]) -> float:
    """Of the claim that `bests` are larger, hence worse, than `others` with the same seeds."""
    pairs = [pair for pair in zip(bests, others, strict=True) if pair[0] != pair[1]]
    if not pairs:  # where both are infinite there is no difference
        return 1.0
    mine, theirs = np.array(pairs).T
    return float(wilcoxon(mine, theirs, alternative="greater").pvalue)


def shown_worse(bests: Bests, others: Bests) -> list[Hashable]:
    """The questions in which a sampler is worse, all of them true with probability 1 - LEVEL."""
    questions = list(bests)
    p_values = holm([p_worse(bests[question], others[question]) for question in questions])
    return [question for question, p in zip(questions, p_values, strict=True) if p < LEVEL]


def medians(bests: Bests, others: Bests) -> tuple[int, int, int]:
    """In how many questions the median is smaller, equal, larger than the other's."""
    signs = [np.sign(median(bests[question]) - median(others[question])) for question in bests]
    return signs.count(-1.0), signs.count(0.0), signs.count(1.0)
