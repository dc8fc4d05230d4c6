"""Confirmation: what retraining the search's best configurations on fresh seeds has shown.

A search picks its winner by luck as much as by merit, so its score flatters. Here the top
configurations and the reference are judged on seeds that the search has not seen. The winner stays
the one the search chose: to choose again by the test scores would need yet another test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.statistics.intervals import CONFIDENCE, MeanInterval, mean_interval, new_draw_interval
from analysis.statistics.paired import PairedComparison, compare, corrected
from analysis.statistics.quantities import Direction, sign

Scores = dict[str, dict[int, float]]


@dataclass(frozen=True)
class Optimism:
    """How much better the search's score looks than the confirmed one; positive is flattering.

    `total` = sign * (search score - confirmed mean), sign +1 where larger is better. The search
    score is a draw like those of the confirmation, so `total` has the interval of a new draw's
    distance from their mean: it holds zero in 95 % of studies whose search score was an ordinary
    draw. Where the confirmation runs also have validation scores it splits into `selection`
    (search against fresh runs, both validation) and `transfer` (validation against test, by
    seed), else None. How much the best of N draws flatters on average is not estimated.
    """

    search_score: float
    search_seeds: int
    total: MeanInterval
    selection: MeanInterval | None
    transfer: MeanInterval | None

    @property
    def certain(self) -> bool:
        """Whether the gap is more than the luck of ordinary draws explains, at the 5 % level."""
        return self.total.low > 0 or self.total.high < 0


@dataclass(frozen=True)
class Confirmed:
    """One configuration: its estimate over `seeds`; `missing` seeds gave no finite score."""

    configuration: str
    estimate: MeanInterval
    seeds: tuple[int, ...]
    missing: tuple[int, ...]
    optimism: Optimism | None


@dataclass(frozen=True)
class Order:
    """Whether the order of the search stands among the configurations that were confirmed.

    `kendall_tau` is tau-b between search and confirmed scores (Kendall 1945; NaN for fewer than
    two). `pairs` compares all of them, the one confirmed ahead minus the other, corrected
    together; `swaps` are those among them that the search had the other way round. Only seeds
    that all of these configurations finished count, and only configurations with any.
    """

    searched: tuple[str, ...]
    confirmed: tuple[str, ...]
    kendall_tau: float
    pairs: tuple[PairedComparison, ...]
    swaps: tuple[PairedComparison, ...]

    @property
    def held(self) -> bool:
        """True where no pair changed places."""
        return not self.swaps

    @property
    def settled(self) -> bool:
        """True where the seeds tell every pair apart at the 5 % level."""
        return all(pair.conclusion == "better" for pair in self.pairs)


@dataclass(frozen=True)
class Confirmation:
    """All findings; `configurations` in the search's order (the winner first), then the others.

    `comparisons` are against the reference, one per other configuration, corrected together.
    """

    metric: str
    direction: Direction
    reference: str
    seeds: tuple[int, ...]
    configurations: tuple[Confirmed, ...]
    comparisons: tuple[PairedComparison, ...]
    order: Order

    @property
    def winner(self) -> Confirmed:
        """The configuration that the search put first."""
        return self.configurations[0]

    def comparison(self, configuration: str) -> PairedComparison | None:
        """The comparison of `configuration` with the reference; None for the reference itself."""
        comparisons = [
            comparison
            for comparison in self.comparisons
            if comparison.configuration == configuration
        ]
        return comparisons[0] if comparisons else None


def confirm(
    frame: pd.DataFrame,
    *,
    metric: str,
    direction: Direction,
    reference: str,
    search_scores: Mapping[str, float],
    search_seeds: int = 1,
    value: str = "value",
    validation: str | None = None,
    configuration: str = "configuration",
    seed: str = "seed",
    confidence: float = CONFIDENCE,
) -> Confirmation:
    """Judge configurations retrained on common fresh seeds.

    Args:
        frame: one row per (configuration, seed), with the test score in the column `value` and,
            if `validation` names a column, the validation score of the same run in the same unit.
            A seed that failed may be a NaN or be absent; it is reported as missing.
        metric: name of the score, for the report.
        direction: 'minimize' or 'maximize'.
        reference: the configuration to compare with; it needs no search score.
        search_scores: score by which the search ranked each configuration to be confirmed.
        search_seeds: seeds whose mean each of these scores is.

    Raises:
        ValueError: no configuration at all, or a (configuration, seed) that appears twice.
    """
    order = _search_order(search_scores, direction)
    scores = _scores(frame, configuration, seed, value)
    validated = _scores(frame, configuration, seed, validation) if validation else {}
    names = _names(order, scores, reference)
    seeds = tuple(sorted({int(number) for number in frame[seed]}))
    confirmed = [
        Confirmed(
            name,
            mean_interval(list(scores.get(name, {}).values()), confidence=confidence),
            tuple(sorted(scores.get(name, {}))),
            tuple(number for number in seeds if number not in scores.get(name, {})),
            _optimism(
                (search_scores[name], search_seeds),
                scores.get(name, {}),
                validated.get(name, {}),
                direction,
                confidence,
            )
            if name in search_scores
            else None,
        )
        for name in names
    ]
    comparisons = [
        compare(name, reference, scores, direction=direction, confidence=confidence)
        for name in names
        if name != reference
    ]
    return Confirmation(
        metric,
        direction,
        reference,
        seeds,
        tuple(confirmed),
        corrected(comparisons),
        _order(order, search_scores, scores, direction, confidence),
    )


def _search_order(search_scores: Mapping[str, float], direction: Direction) -> list[str]:
    """Best first; equal scores keep the order in which they were given."""
    return sorted(search_scores, key=lambda name: -sign(direction) * search_scores[name])


def _names(order: Sequence[str], scores: Scores, reference: str) -> list[str]:
    others = [name for name in scores if name not in order and name != reference]
    references = [reference] if reference in scores and reference not in order else []
    names = [*order, *others, *references]
    if not names:
        raise ValueError("no configuration to confirm: neither search scores nor runs were given")
    return names


def _scores(frame: pd.DataFrame, configuration: str, seed: str, value: str) -> Scores:
    """Finite scores by configuration and seed; a configuration without any has an empty entry."""
    repeated = frame[frame.duplicated([configuration, seed])]
    if len(repeated):
        first = repeated.iloc[0]
        raise ValueError(
            f"configuration {first[configuration]!r} has seed {first[seed]} twice: "
            "keep one run for each configuration and seed"
        )
    scores: Scores = {}
    columns = (frame[name].tolist() for name in (configuration, seed, value))
    for name, number, score in zip(*columns, strict=True):
        runs = scores.setdefault(str(name), {})
        if score is not None and np.isfinite(score):
            runs[int(number)] = float(score)
    return scores


def _optimism(
    searched: tuple[float, int],
    test: Mapping[int, float],
    validated: Mapping[int, float],
    direction: Direction,
    confidence: float,
) -> Optimism:
    """See `Optimism`; `searched` is the search's score and the number of seeds behind it.

    The split takes only runs that have both scores, so that it adds up.
    """
    score, count = searched
    better = sign(direction)
    total = [better * (score - value) for value in test.values()]
    both = sorted(test.keys() & validated.keys())
    selection = [better * (score - validated[seed]) for seed in both]
    transfer = [better * (validated[seed] - test[seed]) for seed in both]
    split = bool(both) and len(both) == len(test)
    return Optimism(
        float(score),
        count,
        new_draw_interval(total, draws=count, confidence=confidence),
        new_draw_interval(selection, draws=count, confidence=confidence) if split else None,
        mean_interval(transfer, confidence=confidence) if split else None,
    )


def _order(
    order: Sequence[str],
    search_scores: Mapping[str, float],
    scores: Scores,
    direction: Direction,
    confidence: float,
) -> Order:
    finished = [name for name in order if scores.get(name)]
    common = set.intersection(*(set(scores[name]) for name in finished)) if finished else set()
    searched = finished if common else []
    scores = {name: {seed: scores[name][seed] for seed in common} for name in searched}
    means = {name: float(np.mean(list(scores[name].values()))) for name in searched}
    better = sign(direction)
    confirmed = sorted(searched, key=lambda name: -better * means[name])
    pairs = corrected(
        [
            compare(ahead, behind, scores, direction=direction, confidence=confidence)
            for ahead, behind in combinations(confirmed, 2)
        ]
    )
    swaps = tuple(
        pair
        for pair in pairs
        if better * (search_scores[pair.reference] - search_scores[pair.configuration]) > 0
    )
    tau = _tau(searched, search_scores, means)
    return Order(tuple(searched), tuple(confirmed), tau, pairs, swaps)


def _tau(
    names: Sequence[str], search_scores: Mapping[str, float], means: Mapping[str, float]
) -> float:
    if len(names) < 2:
        return float("nan")
    searched = [search_scores[name] for name in names]
    return float(stats.kendalltau(searched, [means[name] for name in names]).statistic)
