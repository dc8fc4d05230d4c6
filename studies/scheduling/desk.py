"""The desk: all that the driver decides and records about trials, whoever trains them.

It hands out assignments, takes records, says who ends early, and keeps ledger and tracker in step.
Order matters for a driver that may die at any line: the ledger knows of a trial before the tracker
does, and the tracker has heard all of a trial before the ledger calls it ended. Ends are made to
survive a power failure; plans, starts and epochs' reports that one takes away are made again.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studies.definition import Objective
from studies.errors import StudyStopped
from studies.ledger.ledger import ENDED, FAILURES, Ledger, LedgerTrial, Status
from studies.scheduling.pruning import Comparison, EndingRule, Reading, Standing, comparable
from studies.tracker import names
from studies.tracker.tracker import Tracker, now_ms
from vae_trainables import checkpoint
from vae_trainables.training import session
from vae_trainables.training.session import Record


@dataclass
class Limits:
    """When the whole study stops. `deadline` is of the monotonic clock, seconds."""

    failures_in_a_row: int = 5
    worker_retries: int = 2
    time_budget_s: float = math.inf
    deadline: float = math.inf
    starvation_s: float = 600.0


@dataclass
class Tally:
    """What happened since the desk was opened."""

    failures_in_a_row: int = 0
    lost_workers: Counter[str] = field(default_factory=Counter)


def announce(tracker: Tracker, trial: LedgerTrial, study_tags: dict[str, str]) -> None:
    """The tracker opens the trial's run, with its configuration."""
    tags = study_tags | {
        names.PHASE: trial.phase,
        names.SEED: trial.config.seed,
        names.CONFIG: trial.group,
        names.REFERENCE: str(trial.reference).lower(),
        names.ATTEMPT: trial.attempt,
        names.LIKE: trial.like,
    }
    if trial.parent:
        tags[names.HEIR_OF], tags[names.INSTEAD_OF] = trial.parent, trial.instead_of
        tags[names.INHERITED] = trial.inherited
    tracker.trial(trial.key, tags, trial.config.flat())


def attach_weights(tracker: Tracker, trial: LedgerTrial, folder: Path) -> None:
    """What a finished trial leaves in its `folder`."""
    tracker.artifact(trial.key, folder / session.WEIGHTS, "checkpoint")
    tracker.artifact(trial.key, folder / session.CONFIG, "checkpoint")
    if trial.phase != "search":
        tracker.artifact(trial.key, folder / session.ROBUSTNESS)
        tracker.artifact(trial.key, folder / session.TEST_IMAGES)


class Desk:
    """One phase of one study.

    source: plans the next trial, or returns None when nothing is left to plan.
    objectives: the metrics that become a finished trial's values.
    comparison: what of a trial's figures `pruner` may compare.
    """

    def __init__(
        self,
        ledger: Ledger,
        tracker: Tracker,
        *,
        folder: Path,
        source: Callable[[], LedgerTrial | None],
        objectives: list[Objective],
        prune_on: Objective,
        pruner: EndingRule | None,
        limits: Limits,
        tags: dict[str, str],
        backlog: list[LedgerTrial],
        watch: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda _: None,
        comparison: Comparison = comparable,
    ) -> None:
        self.ledger, self.tracker, self.folder = ledger, tracker, folder
        self._trials = folder / "trials"
        self.objectives, self.prune_on, self.pruner = objectives, prune_on, pruner
        self.limits, self.study_tags = limits, tags
        self.comparison = comparison
        self.source, self.backlog, self.watch, self.say = source, backlog, watch, say
        self.under_way: set[str] = set()  # handed out and not ended
        self.tally = Tally()
        self.stop_reason = ""
        self._batched = False
        self._said: set[str] = set()
        self._over: list[Path] = []
        self._last_sign = time.monotonic()
        if pruner is not None:
            for trial in ledger.trials.values():
                if trial.extra_seed or trial.phase != "search":
                    continue
                curve = trial.curve(prune_on.metric)
                pruner.restore(trial.key, {e: self._reading(trial, e, v) for e, v in curve.items()})

    def next(self) -> LedgerTrial | None:
        """The trial to train next: first what was left unfinished, then new ones.

        None: nothing now; and nothing more at all, unless a trial `under_way` brings more.
        """
        self._settle()
        trial = self._take()
        if trial is None and not self.under_way and self._give_up():
            trial = self._take()  # a budget has room again for what those had left to train
        return trial

    def _take(self) -> LedgerTrial | None:
        """The first of those left unfinished that may train, then a new one."""
        turn = (place for place, t in enumerate(self.backlog) if self._standing(t) == "ready")
        place = next(turn, None)
        trial = self.source() if place is None else self.backlog.pop(place)
        if trial is not None:
            self.under_way.add(trial.key)
            self._hand_down(trial)
        return trial

    def _standing(self, trial: LedgerTrial) -> Standing:
        if self.pruner is None or trial.extra_seed or trial.phase != "search":
            return "ready"
        return self.pruner.standing(trial)

    def _settle(self) -> None:
        """What the rule has decided about those who wait."""
        for trial in [t for t in self.backlog if self._standing(t) == "over"]:
            self._end_waiting(trial)

    def _give_up(self) -> bool:
        """Nothing is left to do that could change how those stand who wait; whether any did."""
        waiting = list(self.backlog)
        for trial in waiting:
            self._end_waiting(trial)
        return bool(waiting)

    def _end_waiting(self, trial: LedgerTrial) -> None:
        assert self.pruner is not None, "only a rule lets trials wait"
        self.backlog.remove(trial)
        self.end(trial, "pruned", self.pruner.reason(trial))

    def _hand_down(self, trial: LedgerTrial) -> None:
        """An heir gets its parent's checkpoint; without one it trains all of its lineage itself."""
        if trial.parent and not trial.attempt:
            parent = self.ledger.trials[trial.parent]
            checkpoint.copy(self.folder_of(parent), self.folder_of(trial), trial.inherited)

    def started(self, trial: LedgerTrial) -> None:
        """A worker begins the trial, or begins it again."""
        self._last_sign = time.monotonic()
        self.ledger.start(trial)
        announce(self.tracker, trial, self.study_tags)

    def report(self, trial: LedgerTrial, record: Record) -> bool:
        """Take a record; True if the trial leaves its worker, by itself or by the rule.

        Tune tells the last record of a trial that was stopped once more: it is nobody's any more.
        """
        if trial.status in ENDED or trial.key not in self.under_way:
            return True
        self._last_sign = time.monotonic()
        self._note(trial, record)
        if record.outcome == "unsaved":
            raise StudyStopped(
                f"trial {trial.key} could not save its epoch ({record.reason}): mend the storage "
                f"below {self.folder} and resume"
            )
        if record.outcome not in ("running", "finished"):
            self.end(trial, record.outcome, record.reason)
            return True
        value = record.metrics.get(self.prune_on.metric)
        if value is None:
            self.end(trial, "failed", f"the metric {self.prune_on.metric} was left out")
            return True
        if not math.isfinite(value):
            self.end(trial, "diverged", f"{self.prune_on.metric} is {value}")
            return True
        self.ledger.report(trial, record.epoch, record.metrics)
        if record.outcome == "finished":
            self._finish(trial, record)
            return True
        if self._is_behind(trial, record.epoch, value):
            self.end(trial, "pruned", f"behind the others at epoch {record.epoch}")
            return True
        return self._pauses(trial)

    def _pauses(self, trial: LedgerTrial) -> bool:
        """Whether the trial leaves its worker, to go on later or never."""
        standing = self._standing(trial)
        if standing == "waits":
            self.put_back(trial, f"waits for the others at epoch {max(trial.reports)}")
        elif standing == "over":
            assert self.pruner is not None
            self.end(trial, "pruned", self.pruner.reason(trial))
        return standing != "ready"

    def _is_behind(self, trial: LedgerTrial, epoch: int, value: float) -> bool:
        """What the rule says; the reference stays, with which all are compared at their end."""
        if self.pruner is None or trial.extra_seed:
            return False
        behind = self.pruner.should_stop(trial.key, epoch, self._reading(trial, epoch, value))
        return behind and not trial.reference

    def _reading(self, trial: LedgerTrial, epoch: int, value: float) -> Reading | None:
        return self.comparison(trial.config, epoch, self.prune_on.metric, value)

    def _note(self, trial: LedgerTrial, record: Record) -> None:
        """What a record says goes to the tracker, which takes each epoch once."""
        if record.metrics:
            self.tracker.metrics(trial.key, record.epoch, record.metrics, record.time_ms)
        if record.notes:
            fresh = [note for note in record.notes if note not in self._said]
            self._said.update(fresh)  # what the data do not allow, every trial remarks
            if fresh:
                self.say(f"trial {trial.key}: {'; '.join(fresh)}")
            self.tracker.tags(trial.key, {names.NOTES: "; ".join(record.notes)})
        if record.how:
            tags = {names.RANDOM: record.how["random"], names.WAY: record.how["way"]}
            self.tracker.tags(trial.key, tags)

    def _finish(self, trial: LedgerTrial, record: Record) -> None:
        values = [record.metrics.get(objective.metric, math.nan) for objective in self.objectives]
        for objective, value in zip(self.objectives, values, strict=True):
            if objective.metric not in record.metrics:
                self.end(trial, "failed", f"the metric {objective.metric} was left out")
                return
            if not math.isfinite(value):
                self.end(trial, "diverged", f"{objective.metric} is {value}")
                return
        attach_weights(self.tracker, trial, self.folder_of(trial))
        if trial.phase != "search":
            self.tracker.tags(trial.key, {names.TEST_OPENED: now_ms()})
        self.end(trial, "finished", "", values)

    def end(
        self, trial: LedgerTrial, status: Status, reason: str, values: list[float] | None = None
    ) -> None:
        """The trial has ended: tracker first, then the ledger, then its checkpoints go."""
        if trial.status in ENDED:
            return
        if status in FAILURES:
            self.say(f"trial {trial.key}: {status.replace('_', ' ')}: {reason}")
            error = self.folder_of(trial) / session.ERROR
            if error.exists():
                self.tracker.artifact(trial.key, error)
        self.tracker.ended(trial.key, status, reason)
        if not self._batched:
            self.tracker.commit()
        self.ledger.end(trial, status, values=values, reason=reason)
        if not self._batched:
            self.ledger.commit()
        self.under_way.discard(trial.key)
        self._over.append(self.folder_of(trial))
        if not self._batched:
            self._discard()
        self._count(status)

    def _discard(self) -> None:
        """Remove the checkpoints of trials whose end is on disk."""
        while self._over:
            checkpoint.discard(self._over.pop())

    def lost(self, trial: LedgerTrial, status: Status, reason: str) -> None:
        """The trial's worker died: it goes on elsewhere, or ends if that happened too often."""
        if trial.status in ENDED:
            return
        self.tally.lost_workers[trial.key] += 1
        if self.tally.lost_workers[trial.key] > self.limits.worker_retries:
            self.end(trial, status, reason)
            return
        self.say(f"trial {trial.key}: {reason}; it goes on from its newest checkpoint")
        self.put_back(trial, reason)

    def put_back(self, trial: LedgerTrial, reason: str = "") -> None:
        """The trial has no worker any more: it waits for another, which continues it."""
        self._last_sign = time.monotonic()
        self.tracker.ended(trial.key, "interrupted", reason)
        self.ledger.end(trial, "interrupted", values=None, reason=reason)
        self._commit()
        self.under_way.discard(trial.key)
        self.backlog.append(trial)

    def _count(self, status: Status) -> None:
        if status not in FAILURES:
            self.tally.failures_in_a_row = 0
            return
        self.tally.failures_in_a_row += 1
        if self.tally.failures_in_a_row >= self.limits.failures_in_a_row:
            self.stop_reason = (
                f"{self.tally.failures_in_a_row} trials in a row failed: see their reasons, mend "
                "the cause and resume"
            )

    def interrupt(self, reason: str) -> None:
        """The driver stops: what is under way stays to be continued."""
        for trial in list(self.ledger.open.values()):
            if trial.status == "running":
                self.tracker.ended(trial.key, "interrupted", reason)
                self.ledger.end(trial, "interrupted", values=None, reason=reason)
        self._commit()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Many records at once, one commit: the ledger is written when the spool is durable."""
        self._batched = True
        with self.ledger.journal.together():
            try:
                yield
            finally:
                self._batched = False
                self.tracker.commit()
        self.ledger.commit()
        self._discard()

    def next_hand(self, count: int) -> list[LedgerTrial]:
        """Up to `count` trials begun in one write: the tracker hears of them after it."""
        self._settle()
        hand = self._begin(count)
        if count > 0 and not hand and not self.under_way and self._give_up():
            hand = self._begin(count)
        if hand:
            self._last_sign = time.monotonic()
        for trial in hand:
            announce(self.tracker, trial, self.study_tags)
        return hand

    def _begin(self, count: int) -> list[LedgerTrial]:
        hand: list[LedgerTrial] = []
        self._batched = True
        with self.ledger.journal.together():
            try:
                while len(hand) < count and (trial := self._take()) is not None:
                    self.ledger.start(trial)
                    hand.append(trial)
            finally:
                self._batched = False
        return hand

    def _commit(self) -> None:
        """Make all of this durable; never the ledger alone, what it holds the tracker was told."""
        if not self._batched:
            self.tracker.commit()
            self.ledger.commit()

    def check(self) -> None:
        """Called often by the loop; raises StudyStopped when the study must end."""
        self.watch()
        now = time.monotonic()
        if self.stop_reason:
            raise StudyStopped(self.stop_reason)
        if now > self.limits.deadline:
            raise StudyStopped(f"the time budget of {self.limits.time_budget_s:.0f} s is used up")
        if now - self._last_sign > self.limits.starvation_s:
            self._silent()

    def _silent(self) -> None:
        """No trial is taken up, or those under way say nothing."""
        limit = f"{self.limits.starvation_s:.0f} s"
        if any(t.status == "running" for t in self.ledger.open.values()):
            self._last_sign = time.monotonic()
            self.say(
                f"note: no trial has reported for {limit}; if no epoch takes that long, stop with "
                "Ctrl-C and go on with --resume"
            )
            return
        raise StudyStopped(
            f"no worker has taken up a trial for {limit}: the cluster lacks the CPUs or GPUs that "
            "a trial asks for"
        )

    def folder_of(self, trial: LedgerTrial) -> Path:
        """Where the trial keeps its checkpoints and weights."""
        return self._trials / trial.key

    def assignment(self, trial: LedgerTrial) -> dict[str, Any]:
        """What a worker needs to know, as plain values."""
        return {
            "key": trial.key,
            "config": json.dumps(trial.config.flat()),
            "folder": str(self.folder_of(trial)),
            "open_test": trial.phase != "search",
            "keep_at": sorted(self.pruner.pauses) if self.pruner is not None else [],
        }
