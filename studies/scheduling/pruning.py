"""Which trial ends early or waits: successive halving, Hyperband, median stopping, promotion.

A decision is a pure function of the values that were recorded before it, so a resumed study
rebuilds it from the ledger, and one rule serves trials that Tune runs one by one and trials in a
cohort.
Ray's schedulers keep what they know in themselves and lose it with the driver; tests hold these
rules to Ray's decisions.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, Protocol

import numpy as np

from studies.definition import Direction
from studies.ledger.trials import LedgerTrial
from vae_trainables.config import TrialConfig
from vae_trainables.training import schedules

FLATTERED = frozenset({"mse", "psnr", "ssim", "recon"})
"""Metrics that a smaller β can only make look better: the KL works against reconstructions."""


@dataclass(frozen=True)
class Reading:
    """What a trial reports to a rule after an epoch.

    share: of its β, how much weighed just then, in [0, 1]: below 1 the value is flattered.
    """

    value: float
    share: float = 1.0


Standing = Literal["ready", "waits", "over"]
"""Of a trial that has not ended: it may train on, waits for what others report, or is to end."""


class EndingRule(Protocol):
    """Decides from what trials report at the end of each epoch."""

    pauses: Collection[int]
    """Epochs after which a trial may have to wait: it needs a checkpoint of them."""

    def restore(self, key: str, reports: Mapping[int, Reading | None]) -> None:
        """Put back what a trial reported before the driver was started again."""

    def should_stop(self, key: str, epoch: int, reading: Reading | None) -> bool:
        """Record what may be compared, None: nothing; True: the trial ends."""

    def standing(self, trial: LedgerTrial) -> Standing:
        """How an open trial of the search stands, by all that was recorded so far."""

    def reason(self, trial: LedgerTrial) -> str:
        """Why a trial ends that is over, or that waited in vain."""


class Stopping:
    """What is common to rules that decide at a report, and let nobody wait."""

    pauses: Collection[int] = ()

    def standing(self, trial: LedgerTrial) -> Standing:
        """As `EndingRule` says."""
        return "ready"

    def reason(self, trial: LedgerTrial) -> str:
        """As `EndingRule` says."""
        return f"behind the others at epoch {max(trial.reports, default=0)}"


class SuccessiveHalving(Stopping):
    """ASHA (Li et al. 2020), one bracket, stopping rule.

    At epochs grace * eta^k a trial goes on only if its value is among the best 1/eta of those
    recorded at that rung so far that are flattered as little as its own or less. `direction` says
    which values are better.
    """

    def __init__(self, *, grace: int, eta: float, max_epochs: int, direction: Direction) -> None:
        self.eta = eta
        self.sign = sign(direction)
        count = int(math.log(max(max_epochs / grace, 1)) / math.log(eta) + 1e-9) + 1
        self.milestones = [round(grace * eta**k) for k in range(count)][::-1]
        self._rungs: dict[int, dict[str, Reading | None]] = {m: {} for m in self.milestones}

    def restore(self, key: str, reports: Mapping[int, Reading | None]) -> None:
        """Put back what a trial reported before the driver was started again."""
        for epoch in sorted(reports):
            self.should_stop(key, epoch, reports[epoch])

    def should_stop(self, key: str, epoch: int, reading: Reading | None) -> bool:
        """Record a reading at the highest rung that `epoch` has reached; True: the trial ends.

        None: not to be compared. The trial passes that rung, and is no measure for others there.
        """
        for milestone in self.milestones:
            rung = self._rungs[milestone]
            if epoch < milestone or key in rung:
                continue
            measures = [] if reading is None else self._scores(rung, reading.share)
            rung[key] = reading
            if reading is None or not measures:
                return False
            return self.sign * reading.value < self._cutoff(measures)
        return False

    def _scores(self, rung: Mapping[str, Reading | None], share: float) -> list[float]:
        """Those at a rung of which at least this share of β weighed."""
        return [self.sign * r.value for r in rung.values() if r is not None and r.share >= share]

    def _cutoff(self, scores: Sequence[float]) -> float:
        return float(np.percentile(scores, (1 - 1 / self.eta) * 100))


class Hyperband(Stopping):
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

    def restore(self, key: str, reports: Mapping[int, Reading | None]) -> None:
        """As `EndingRule` says."""
        self.bracket(key).restore(key, reports)

    def should_stop(self, key: str, epoch: int, reading: Reading | None) -> bool:
        """As `EndingRule` says; only trials of the same bracket are compared."""
        return self.bracket(key).should_stop(key, epoch, reading)

    def bracket(self, key: str) -> SuccessiveHalving:
        """The trial's bracket."""
        place = zlib.crc32(key.encode()) % sum(self.shares)
        for bracket, share in zip(self.brackets, self.shares, strict=True):
            if place < share:
                return bracket
            place -= share
        raise AssertionError("places end with the last share")


class MedianStopping(Stopping):
    """Median stopping rule (Golovin et al. 2017).

    From epoch `grace` on, a trial ends whose best value is worse than the median, over the other
    trials that have come to this epoch, of their values' means up to it. Only what was read at full
    β counts: a mean over a warm-up would compare what is not alike.
    """

    LEAST = 3  # trials to compare with, as Ray has it

    def __init__(self, *, grace: int, direction: Direction) -> None:
        self.grace, self.sign = grace, sign(direction)
        self._best: dict[str, float] = {}
        self._scores: dict[str, list[float]] = {}  # from `grace` on
        self._means: dict[int, dict[str, float]] = {}  # of those scores, by epoch and trial

    def restore(self, key: str, reports: Mapping[int, Reading | None]) -> None:
        """As `EndingRule` says."""
        for epoch in sorted(reports):
            self._record(key, epoch, reports[epoch])

    def should_stop(self, key: str, epoch: int, reading: Reading | None) -> bool:
        """As `EndingRule` says."""
        if not self._record(key, epoch, reading) or epoch < self.grace:
            return False
        means = [mean for other, mean in self._means[epoch].items() if other != key]
        return len(means) >= self.LEAST and self._best[key] < float(np.median(means))

    def _record(self, key: str, epoch: int, reading: Reading | None) -> bool:
        """Once for each epoch: a trial that goes on repeats what it has said; False: no measure."""
        if reading is None or reading.share < 1:
            return False
        if key in self._means.setdefault(epoch, {}):
            return True
        score = self.sign * reading.value
        self._best[key] = max(score, self._best.get(key, -math.inf))
        if epoch >= self.grace:
            scores = self._scores.setdefault(key, [])
            scores.append(score)
            self._means[epoch][key] = fmean(scores)
        return True


class Promotion(SuccessiveHalving):
    """ASHA as it was published (Li et al. 2020, algorithm 2): promoted instead of stopped.

    At each rung a trial waits until it is among the best 1/eta of those recorded there, which it
    may come to be much later; what still waits when nothing else is left to do ends.
    """

    def __init__(self, *, grace: int, eta: float, max_epochs: int, direction: Direction) -> None:
        super().__init__(grace=grace, eta=eta, max_epochs=max_epochs, direction=direction)
        self.pauses = frozenset(m for m in self.milestones if m < max_epochs)
        self._sorted: dict[tuple[int, float], list[float]] = {}
        self._counted: dict[tuple[int, float], int] = {}  # readings at the rung by then

    def should_stop(self, key: str, epoch: int, reading: Reading | None) -> bool:
        """Record it; nobody ends at a report."""
        super().should_stop(key, epoch, reading)
        return False

    def standing(self, trial: LedgerTrial) -> Standing:
        """As `EndingRule` says; the reference does not wait, others are compared at its end."""
        epoch = max(trial.reports, default=0)
        if trial.reference or epoch not in self.pauses:
            return "ready"
        rung = self._rungs[epoch]
        reading = rung.get(trial.key)
        if reading is None:
            return "ready"
        measures = self._in_order(epoch, reading.share)
        better = len(measures) - bisect_right(measures, self.sign * reading.value)
        return "ready" if better < int(len(measures) / self.eta) else "waits"

    def _in_order(self, milestone: int, share: float) -> list[float]:
        """The scores at a rung to compare with: all that wait ask between two readings."""
        place, rung = (milestone, share), self._rungs[milestone]
        if self._counted.get(place) != len(rung):
            self._sorted[place], self._counted[place] = sorted(self._scores(rung, share)), len(rung)
        return self._sorted[place]


def sign(direction: Direction) -> float:
    return 1.0 if direction == "maximize" else -1.0


Comparison = Callable[[TrialConfig, int, str, float], Reading | None]
"""Of a trial's configuration, an epoch, a metric and its value: what a rule may compare."""


def comparable(config: TrialConfig, epoch: int, metric: str, value: float) -> Reading | None:
    """A value with the share of β that weighed, so that no β schedule is favoured.

    A `FLATTERED` metric of a warm-up may lose to those that are flattered less, and is no measure
    for them. How β moves others is not known: they are compared at full β only, else None.
    """
    share = schedules.settled_share(config, epoch)
    if share < 1 and metric.rpartition("/")[2] not in FLATTERED:
        return None
    return Reading(value, share)
