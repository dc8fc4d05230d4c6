"""How a study goes, as metrics of its parent run: what its charts show while it runs.

Step = epochs trained by all trials together, so a resumed study goes on where it was.
"""

from __future__ import annotations

import time
from collections import Counter

from studies.ledger.ledger import FAILURES, Ledger
from studies.runner.console import best_and_reference
from studies.runner.planning import Plan
from studies.runner.spending import Spending
from studies.tracker import names
from studies.tracker.tracker import Tracker, now_ms

EVERY_S = 2.0  # at most so often,
SHARE = 0.01  # and once per hundredth of the time so far: a long study has no more points


class Course:
    """Tells the tracker now and then; what was told is in the spool, with its time."""

    def __init__(self, tracker: Tracker, ledger: Ledger, plan: Plan, spending: Spending) -> None:
        self.tracker, self.ledger, self.plan, self.spending = tracker, ledger, plan, spending
        self._began = self._last = time.monotonic()
        self._epochs = _epochs(ledger)

    def tick(self) -> None:
        """Called often; cheap unless it is time for a point."""
        now = time.monotonic()
        if now - self._last >= max(EVERY_S, SHARE * (now - self._began)):
            self.point()

    def point(self) -> None:
        """Where the study stands now, if anything was trained since the last point."""
        epochs, now = _epochs(self.ledger), time.monotonic()
        if epochs > self._epochs:
            rate = (epochs - self._epochs) / max(now - self._last, 1e-9)
            values = {"epochs": float(epochs), "epochs_per_s": rate, **self._counts()}
            named = {names.COURSE + name: value for name, value in (values | self._best()).items()}
            named[names.SEARCHED_S] = self.spending.seconds
            self.tracker.metrics("", epochs, named, now_ms())
            self._epochs = epochs
        self._last = now

    def _counts(self) -> dict[str, float]:
        count = Counter(trial.status for trial in self.ledger.trials.values())
        failed = sum(count[status] for status in FAILURES)
        return {
            "finished": float(count["finished"]),
            "pruned": float(count["pruned"]),
            "failed": float(failed),
        }

    def _best(self) -> dict[str, float]:
        """The objective of the best trial of the search so far."""
        best, _ = best_and_reference(self.plan, self.ledger)
        if best is None or not best.values:
            return {}
        return {f"best {self.plan.objectives[0].metric.replace('/', ' ')}": best.values[0]}


def _epochs(ledger: Ledger) -> int:
    return sum(trial.trained for trial in ledger.trials.values())
