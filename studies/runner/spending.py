"""How much of `--budget` a search has spent, and whether another trial still fits into the rest.

A trial is begun only while a whole one fits: one that ends early leaves room for the next. What was
begun is trained to its end, its other seeds included.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import islice

from studies.budget import Budget
from studies.ledger.ledger import ENDED, Ledger, LedgerTrial

FACT = "search_s"
EVERY_S = 5.0  # at most so often, and once per hundredth of the time so far, it is written down


class Spending:
    """Of one search, over all its starts; `tick` while it runs."""

    def __init__(
        self, ledger: Ledger, *, epochs: int, seeds: int, now: float | None = None
    ) -> None:
        """epochs: of a trial that nobody prunes; seeds: of each configuration."""
        self.ledger, self.epochs, self.seeds = ledger, epochs, seeds
        self.seconds = float(ledger.facts().get(FACT, 0.0)) if ledger.exists else 0.0
        self._last = time.monotonic() if now is None else now
        self._written = self.seconds
        self._held = 0.0  # seconds that trials of this start have run, added up
        self._seen = 0
        self._settled_epochs = 0
        self._unsettled: list[LedgerTrial] = []
        self._seeds_planned: Counter[str] = Counter()  # of a configuration, by its first trial
        self._before = self.trained()

    def resume(self, now: float | None = None) -> None:
        """From now on time counts again: none did between two phases."""
        self._last = time.monotonic() if now is None else now

    def tick(self, now: float | None = None) -> None:
        """Time goes by; called often. What is lost with a driver that dies is `EVERY_S`."""
        now = time.monotonic() if now is None else now
        went = now - self._last
        self._last = now
        self.seconds += went
        self._held += went * sum(t.status == "running" for t in self.ledger.open.values())
        if self.seconds - self._written >= max(EVERY_S, self.seconds / 100):
            self.write()

    def write(self) -> None:
        """Into the ledger, if any time went by since it was last written."""
        if self.seconds != self._written:
            self._written = self.seconds
            self.ledger.set_facts({FACT: round(self.seconds, 3)})

    def has_room(self, budget: Budget | None) -> bool:
        """Whether a further configuration may begin; the first always may, it is the reference."""
        if budget is None or self.ledger.suggested == 0:
            return True
        if budget.epochs is not None:
            return self.committed() + self.epochs * self.seeds <= budget.epochs
        assert budget.seconds is not None
        return self.seconds + self.trial_s() < budget.seconds

    def trained(self) -> int:
        """Epochs that trials of the search have trained, in all starts."""
        self._settle()
        return self._settled_epochs + sum(trial.trained for trial in self._unsettled)

    def committed(self) -> int:
        """Epochs that the search has trained and, at most, will for what it has begun."""
        self._settle()
        return self._settled_epochs + sum(self._at_most(trial) for trial in self._unsettled)

    def trial_s(self) -> float:
        """Seconds of a whole trial by those of this start's epochs so far; 0 before the first."""
        trained = self.trained() - self._before
        return self._held / trained * self.epochs if trained > 0 else 0.0

    def _settle(self) -> None:
        """Count trials that ended once and for all: a search of 10,000 asks as often."""
        fresh = islice(self.ledger.trials.values(), self._seen, None)
        searched = [trial for trial in fresh if trial.phase == "search"]
        self._seen = len(self.ledger.trials)
        self._seeds_planned.update(trial.like or trial.key for trial in searched)
        self._unsettled += searched
        settled = [trial for trial in self._unsettled if self._is_settled(trial)]
        self._settled_epochs += sum(trial.trained for trial in settled)
        self._unsettled = [trial for trial in self._unsettled if not self._is_settled(trial)]

    def _is_settled(self, trial: LedgerTrial) -> bool:
        """Whether neither it nor a seed of it that is not planned yet will train any more."""
        if trial.status not in ENDED:
            return False
        return trial.status != "finished" or self._seeds_to_come(trial) == 0

    def _at_most(self, trial: LedgerTrial) -> int:
        own = trial.trained if trial.status in ENDED else self.epochs
        return own + self._seeds_to_come(trial) * self.epochs

    def _seeds_to_come(self, trial: LedgerTrial) -> int:
        return 0 if trial.extra_seed else max(self.seeds - self._seeds_planned[trial.key], 0)
