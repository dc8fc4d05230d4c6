"""Asynchronous successive halving: which trial ends early.

The decision is a pure function of the values recorded at each rung, so a resumed study rebuilds it
from the ledger, and the same rule serves trials that Tune runs one by one and trials in a cohort.
Ray's ASHA keeps its rungs in the scheduler and loses them with the driver; a test holds this rule
to Ray's decisions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from studies.definition import Direction
from vae_trainables.config import TrialConfig
from vae_trainables.training import schedules


class SuccessiveHalving:
    """ASHA (Li et al. 2020), one bracket, stopping rule.

    At epochs grace * eta^k a trial goes on only if its value is among the best 1/eta of those
    recorded at that rung so far. `direction` says which values are better.
    """

    def __init__(self, *, grace: int, eta: float, max_epochs: int, direction: Direction) -> None:
        self.eta = eta
        self.sign = 1.0 if direction == "maximize" else -1.0
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


def comparable(config: TrialConfig, epoch: int, value: float) -> float | None:
    """`value` where β is as large as it will be, so that no β schedule is favoured; else None."""
    return value if schedules.settled(config, epoch) else None
