"""Population based training (Jaderberg et al. 2017) in generations, with truncation selection.

After every `interval` epochs the worst of the population end, and an heir takes the place of each:
it goes on from the weights of one of the best, with settings of its own. A generation is judged
when all of it have come so far, so what happens is a pure function of what was recorded, whatever
number of workers there is and however often a driver dies.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from studies.definition import Direction
from studies.ledger.trials import ENDED, LedgerTrial
from studies.scheduling.pruning import Comparison, Reading, Standing, sign

FACTOR = 1.5
"""By up to how much an heir's settings are larger or smaller than its parent's.

The paper takes 0.8 or 1.2, by which two heirs of one parent may come out the same; this is as large
on average.
"""


@dataclass(frozen=True)
class Succession:
    """An heir: from whose weights of which epoch it goes on, and whose place it takes."""

    parent: LedgerTrial
    epoch: int
    instead_of: LedgerTrial
    chance: int

    def factors(self) -> Iterator[float]:
        """What settings are multiplied by, one after the other."""
        draws = random.Random(f"{self.chance} {self.epoch} {self.instead_of.key}")
        while True:
            yield FACTOR ** draws.uniform(-1, 1)


class Population:
    """The rule of a search whose first `size` configurations are the first members.

    trials: the ledger's, as they stand at each question. share: of the population, how many end,
    and how many of the best have heirs; at least one. chance: seed of all draws.
    """

    def __init__(
        self,
        trials: Mapping[str, LedgerTrial],
        *,
        size: int,
        interval: int,
        share: float,
        max_epochs: int,
        metric: str,
        direction: Direction,
        comparison: Comparison,
        chance: int,
    ) -> None:
        self._trials, self.size, self.share, self.chance = trials, size, share, chance
        self.pauses: Collection[int] = frozenset(range(interval, max_epochs, interval))
        self._metric, self._sign, self._comparison = metric, sign(direction), comparison
        self._to_come = sorted(self.pauses)
        self._members: list[LedgerTrial] = []
        self._over: set[str] = set()

    def restore(self, key: str, reports: Mapping[int, Reading | None]) -> None:
        """Nothing: all that it goes by is in the ledger."""

    def should_stop(self, key: str, epoch: int, reading: Reading | None) -> bool:
        """Never at a report: who ends is known when all have reported."""
        return False

    def standing(self, trial: LedgerTrial) -> Standing:
        """As `EndingRule` says. An heir has passed the judgement that it comes from."""
        self.due()
        if trial.key in self._over:
            return "over"
        come = max(trial.reports, default=0)
        waits = bool(self._to_come) and trial.inherited < self._to_come[0] <= come
        return "waits" if waits else "ready"

    def reason(self, trial: LedgerTrial) -> str:
        """As `EndingRule` says."""
        return f"among the worst at epoch {max(trial.reports)}: an heir of a better one follows"

    def due(self) -> Succession | None:
        """The next heir to be planned: judges what can be judged, and no epoch twice.

        The next generation counts from when all heirs are in the ledger.
        """
        while self._to_come:
            epoch = self._to_come[0]
            if not self._have_come(epoch):
                return None
            successions = self._judge(epoch)
            self._over |= successions.keys()
            heirs = {trial.instead_of: trial for trial in self._trials.values() if trial.parent}
            due = [succession for key, succession in successions.items() if key not in heirs]
            if due:
                return due[0]
            replaced = successions.keys()
            self._members = [heirs[m.key] if m.key in replaced else m for m in self._members]
            del self._to_come[0]
        return None

    def _have_come(self, epoch: int) -> bool:
        """Whether all of the population have trained so far, or ended before."""
        if len(self._members) < self.size:
            suggested = [trial for trial in self._trials.values() if trial.suggested]
            self._members = suggested[: self.size]
        return len(self._members) == self.size and all(
            epoch in member.reports or member.status in ENDED for member in self._members
        )

    def _judge(self, epoch: int) -> dict[str, Succession]:
        """Who is replaced at an epoch, by key, in the order of the members.

        Who failed before, always. The reference stays, with which all are compared at their end,
        and so does who ended early by itself. Values that may not be compared yet count on
        neither side.
        """
        members = self._members
        failed = [m for m in members if epoch not in m.reports and m.status != "finished"]
        scored = [(score, m) for m in members if (score := self._score(m, epoch)) is not None]
        scored.sort(key=lambda pair: pair[0], reverse=True)
        count = min(max(1, int(len(scored) * self.share)), len(scored) // 2)
        best = scored[: max(count, 1)]
        worst = [m for score, m in scored[len(scored) - count :] if score < best[-1][0]]
        leave = {m.key for m in [*failed, *worst] if not m.reference}
        if not best:
            return {}
        return {m.key: self._succession(m, best, epoch) for m in members if m.key in leave}

    def _score(self, member: LedgerTrial, epoch: int) -> float | None:
        """The larger the better; None where there is nothing to compare, or nothing left to do."""
        value = member.reports.get(epoch, {}).get(self._metric)
        if value is None or (member.status == "finished" and max(member.reports) == epoch):
            return None
        reading = self._comparison(member.config, epoch, self._metric, value)
        if reading is None or reading.share < 1:
            return None
        return self._sign * reading.value

    def _succession(
        self, member: LedgerTrial, best: list[tuple[float, LedgerTrial]], epoch: int
    ) -> Succession:
        chance = random.Random(f"{self.chance} {epoch} {member.key} parent")
        return Succession(chance.choice(best)[1], epoch, member, self.chance)
