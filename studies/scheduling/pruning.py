"""Which trial ends early: successive halving, Hyperband, median stopping.

A decision is a pure function of the values that were recorded before it, so a resumed study
rebuilds it from the ledger, and one rule serves trials that Tune runs one by one and trials in a
cohort.
Ray's schedulers keep what they know in themselves and lose it with the driver; tests hold these
rules to Ray's decisions.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Protocol

import numpy as np

from studies.definition import Direction
from vae_trainables.config import TrialConfig
from vae_trainables.training import schedules


class EndingRule(Protocol):
    """Decides from what trials report at the end of each epoch."""

    def restore(self, key: str, reports: Mapping[int, float | None]) -> None:
        """Put back what a trial reported before the driver was started again."""

    def should_stop(self, key: str, epoch: int, value: float | None) -> bool:
        """Record `value`, which is None where it may not be compared; True: the trial ends."""


class SuccessiveHalving:
    """ASHA (Li et al. 2020), one bracket, stopping rule.

    At epochs grace * eta^k a trial goes on only if its value is among the best 1/eta of those
    recorded at that rung so far. `direction` says which values are better.
    """

    def __init__(self, *, grace: int, eta: float, max_epochs: int, direction: Direction) -> None:
        self.eta = eta
        self.sign = _sign(direction)
        count = int(math.log(max(max_epochs / grace, 1)) / math.log(eta) + 1e-9) + 1
        self.milestones = [round(grace * eta**k) for k in range(count)][::-1]
        self._rungs: dict[int, dict[str, float | None]] = {m: {} for m in self.milestones}

    def restore(self, key: str, reports: Mapping[int, float | None]) -> None:
        """Put back what a trial reported before the driver was started again."""
        for epoch in sorted(reports):
            self.should_stop(key, epoch, reports[epoch])

    def should_stop(self, key: str, epoch: int, value: float | None) -> bool:
        """Record `value` at the highest rung that `epoch` has reached; True: the trial ends.

        None: not to be compared. The trial passes that rung, and is no measure for others there.
        """
        for milestone in self.milestones:
            rung = self._rungs[milestone]
            if epoch < milestone or key in rung:
                continue
            score = None if value is None else self.sign * value
            others = [other for other in rung.values() if other is not None]
            rung[key] = score
            return score is not None and bool(others) and score < self._cutoff(others)
        return False

    def _cutoff(self, scores: Sequence[float]) -> float:
        return float(np.percentile(scores, (1 - 1 / self.eta) * 100))


class Hyperband:
    """Hyperband (Li et al. 2018) without waiting: a SuccessiveHalving for each bracket.

    Bracket s begins to compare at epoch grace * eta^s only, a hedge against learning curves that
    cross. A trial's bracket follows from its key alone, more of them being hasty than patient: in
    Hyperband's proportions, as Optuna's pruner has them.
    """

    def __init__(self, *, grace: int, eta: float, max_epochs: int, direction: Direction) -> None:
        last = int(math.log(max(max_epochs / grace, 1)) / math.log(eta) + 1e-9)
        graces = [round(grace * eta**s) for s in range(last + 1)]
        self.brackets = [
            SuccessiveHalving(grace=g, eta=eta, max_epochs=max_epochs, direction=direction)
            for g in graces
        ]
        rungs = [last - s for s in range(last + 1)]
        self.shares = [math.ceil((last + 1) * eta**rung / (rung + 1)) for rung in rungs]

    def restore(self, key: str, reports: Mapping[int, float | None]) -> None:
        """As `EndingRule` says."""
        self.bracket(key).restore(key, reports)

    def should_stop(self, key: str, epoch: int, value: float | None) -> bool:
        """As `EndingRule` says; only trials of the same bracket are compared."""
        return self.bracket(key).should_stop(key, epoch, value)

    def bracket(self, key: str) -> SuccessiveHalving:
        """The trial's bracket."""
        place = zlib.crc32(key.encode()) % sum(self.shares)
        for bracket, share in zip(self.brackets, self.shares, strict=True):
            if place < share:
                return bracket
            place -= share
        raise AssertionError("places end with the last share")


class MedianStopping:
    """Median stopping rule (Golovin et al. 2017).

    From epoch `grace` on, a trial ends whose best value is worse than the median, over the other
    trials that have come to this epoch, of their values' means up to it.
    """

    LEAST = 3  # trials to compare with, as Ray has it

    def __init__(self, *, grace: int, direction: Direction) -> None:
        self.grace, self.sign = grace, _sign(direction)
        self._best: dict[str, float] = {}
        self._scores: dict[str, list[float]] = {}  # from `grace` on
        self._means: dict[int, dict[str, float]] = {}  # of those scores, by epoch and trial

    def restore(self, key: str, reports: Mapping[int, float | None]) -> None:
        """As `EndingRule` says."""
        for epoch in sorted(reports):
            self._record(key, epoch, reports[epoch])

    def should_stop(self, key: str, epoch: int, value: float | None) -> bool:
        """As `EndingRule` says."""
        self._record(key, epoch, value)
        if value is None or epoch < self.grace:
            return False
        means = [mean for other, mean in self._means[epoch].items() if other != key]
        return len(means) >= self.LEAST and self._best[key] < float(np.median(means))

    def _record(self, key: str, epoch: int, value: float | None) -> None:
        """Once for each epoch: a trial that goes on repeats what it has said."""
        if value is None or key in self._means.setdefault(epoch, {}):
            return
        score = self.sign * value
        self._best[key] = max(score, self._best.get(key, -math.inf))
        if epoch >= self.grace:
            scores = self._scores.setdefault(key, [])
            scores.append(score)
            self._means[epoch][key] = fmean(scores)


def _sign(direction: Direction) -> float:
    return 1.0 if direction == "maximize" else -1.0


def comparable(config: TrialConfig, epoch: int, value: float) -> float | None:
    """`value` where β is as large as it will be, so that no β schedule is favoured; else None."""
    return value if schedules.settled(config, epoch) else None
