"""Cohorts on Ray Tune: a Tune trial is one long-lived worker per GPU, the desk deals the trials.

Light trainables of one configuration each would be a process each, and Tune handles some ninety
results per second; a worker here returns all its trials' records at once. Tune calls the next step
only when the last one's result has been decided, so a worker is never ahead of the desk. Decisions
travel through a mailbox actor, because a running trainable takes no messages.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from studies.ledger.ledger import ENDED, LedgerTrial
from studies.scheduling.desk import Desk
from studies.tracker import names
from studies.workers import gathering, tuning
from studies.workers.gathering import Bench
from studies.workers.mailbox import Mailbox, epoch_result
from studies.workers.metering import Meter
from studies.workers.trainable import unpack
from studies.workers.workbench import Workbench
from vae_trainables.cohort import Assignment, Ways, fusion_key
from vae_trainables.config import TrialConfig
from vae_trainables.numerics.allocator import keep_freed_memory
from vae_trainables.source import Source
from vae_trainables.training.session import Record

DEATHS_IN_A_ROW = 9  # without a word from any worker between them
IDLE_S = 0.2


class CohortTrainable(tune.Trainable):
    """One worker: takes its letters, trains an epoch of all it holds, returns all records."""

    def setup(
        self,
        config: dict[str, Any],
        data: dict[str, Any],
        device: str,
        mailbox: Any,
        slots: int | None,
        like: list[str],
        ways: Ways,
        stacked: bool,
        source: str | None = None,
    ) -> None:
        """Called once: the worker lives as long as the study. `source`: the user's own file."""
        if source is not None:
            Source.from_json(source).load()
        keep_freed_memory()
        self.meter = Meter(device)
        self.name, self.mailbox = config["worker"], mailbox
        typical = [TrialConfig.model_validate_json(text) for text in like]
        self.bench = Workbench(
            unpack(data), device=device, slots=slots, like=typical, ways=ways, stacked=stacked
        )

    def step(self) -> dict[str, Any]:
        """An epoch of every trial."""
        self.meter.begin()
        reports: list[tuple[str, Record]] = []
        moved: list[str] = []
        for letter in ray.get(self.mailbox.take.remote(self.name)):
            if "release" in letter:
                self.bench.release(letter["release"])
            elif "move" in letter:
                moved += self._moved(letter["move"], reports)
            else:
                records = self.bench.take(letter["key"], _assignment(letter))
                reports += [(letter["key"], record) for record in records]
        fresh, evicted = self.bench.run_epoch()
        if not self.bench.seats:
            time.sleep(IDLE_S)  # others may lose trials that this worker then takes
        idle = not fresh and not self.bench.seats
        self.meter.end([record for _, record in fresh], idle=idle)
        notes, ways = self.bench.news()
        return epoch_result(
            reports + fresh,
            slots=self.bench.slots,
            evicted=evicted,
            moved=moved,
            stacked=self.bench.stacked_slots(),
            notes=notes,
            ways=ways,
        )

    def _moved(self, key: str, reports: list[tuple[str, Record]]) -> list[str]:
        """Give a trial up for another worker: its key, unless it has left or cannot be saved."""
        if key not in self.bench.seats:
            return []
        record = self.bench.move_out(key)
        if record is None:
            return [key]
        reports.append((key, record))
        return []

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: sessions keep their own checkpoints."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: sessions find theirs."""


def _assignment(letter: dict[str, Any]) -> Assignment:
    config = TrialConfig.model_validate_json(letter["config"])
    return Assignment(
        config,
        Path(letter["folder"]),
        letter["open_test"],
        letter["told"],
        tuple(letter["keep_at"]),
    )


@dataclass
class Dealer:
    """Keeps every worker's slots filled from the desk, and takes back what a lost worker held.

    Of several trials that shared a worker when it died, one may be the cause: each is a suspect
    until it has trained an epoch alone, and only a death alone counts against a trial.
    """

    desk: Desk
    mailbox: Any
    slots: int  # of a worker that has not said yet how many it has
    hands: dict[str, dict[str, LedgerTrial]] = field(default_factory=dict)
    benches: dict[str, Bench] = field(default_factory=dict)  # of workers that have said
    moving: dict[str, str] = field(default_factory=dict)  # trials on their way, and to whom
    emptied: set[str] = field(default_factory=set)  # workers whose trials went to others
    suspects: set[str] = field(default_factory=set)
    notes: set[str] = field(default_factory=set)
    deaths: int = 0  # of workers, in a row

    def deal(self, worker: str, slots: int) -> bool:
        """Fill the worker's free slots; whether there may be anything more to do for it."""
        hand = self.hands.setdefault(worker, {})
        arriving = sum(target == worker for target in self.moving.values())
        free = (1 if self.suspects else slots) - len(hand) - arriving
        if self._may_rest(worker):
            free = 0
        dealt = self.desk.next_hand(free)
        self._hand_over(worker, dealt)
        if hand and len(dealt) < free:
            self._gather(worker)
        return bool(hand or self.desk.under_way or self.desk.backlog)

    def _may_rest(self, worker: str) -> bool:
        """Whether its trials went to others that still have vacant slots, if any trial comes."""
        if worker not in self.emptied:
            return False
        vacant = sum(
            bench.slots - len(self.hands[other])
            for other, bench in self.benches.items()
            if self.hands.get(other)
        ) - len(self.moving)
        if vacant <= 0 or self.suspects:
            self.emptied.discard(worker)
        return worker in self.emptied

    def _gather(self, worker: str) -> None:
        """Move a worker's trials to another that has slots for all of them (`gathering`)."""
        if self.suspects or worker in self.moving.values() or self._leaving(worker):
            return
        target = gathering.host(worker, self._counts(), self.benches)
        if target is None or self._leaving(target):
            return
        self.moving |= dict.fromkeys(self.hands[worker], target)
        self.emptied.add(worker)
        going = ", ".join(sorted(self.hands[worker]))
        self.desk.say(f"{worker}: no trial is left to begin; {going} go on in slots of {target}")
        self._send(worker, [{"move": key} for key in self.hands[worker]])

    def _leaving(self, worker: str) -> bool:
        return not self.moving.keys().isdisjoint(self.hands[worker])

    def _counts(self) -> dict[str, Counter[str]]:
        """By worker its trials by key, those on their way to it included."""
        counts = {worker: Counter[str]() for worker in self.hands}
        for worker, hand in self.hands.items():
            for trial in hand.values():
                place = self.moving.get(trial.key, worker)
                counts[place if place in counts else worker][fusion_key(trial.config).shared] += 1
        return counts

    def _arrived(self, worker: str, keys: list[str]) -> None:
        """Trials that `worker` has given up go on where they were to go, if that still lives."""
        hand = self.hands[worker]
        for key in keys:
            target, trial = self.moving.pop(key, ""), hand.pop(key, None)
            if trial is None:  # it has ended in the meantime
                continue
            if target in self.benches:
                self._hand_over(target, [trial])
            else:
                self.desk.put_back(trial, "its next worker died")

    def _hand_over(self, worker: str, trials: list[LedgerTrial]) -> None:
        """The worker gets trials, each where its newest checkpoint left it."""
        self.hands[worker] |= {trial.key: trial for trial in trials}
        seen = ({"told": max(trial.reports, default=0)} for trial in trials)
        pairs = zip(trials, seen, strict=True)
        self._send(worker, [self.desk.assignment(trial) | epochs for trial, epochs in pairs])

    def hear(self, worker: str, result: dict[str, Any]) -> bool:
        """Take a worker's records and deal again; whether it has anything to do."""
        hand = self.hands.setdefault(worker, {})
        released = []
        self.deaths = 0
        self.benches[worker] = Bench(result["slots"], json.loads(result["stacked"]))
        records = [(key, Record.from_json(text)) for key, text in json.loads(result["records"])]
        if len(hand) == 1:
            self.suspects -= {key for key, _ in records}
        with self.desk.ending():
            self._note(worker, json.loads(result["notes"]), json.loads(result["ways"]))
            for key, record in records:
                trial = hand.get(key)
                if trial is None or not self.desk.report(trial, record):
                    continue
                del hand[key]
                self.moving.pop(key, None)
                if record.outcome == "running":
                    released.append({"release": key})
        self._send(worker, released)
        for key in json.loads(result["evicted"]):
            if key in hand:  # else it was pruned in the meantime
                reason = "memory ran out: fewer train together from now on"
                self.moving.pop(key, None)
                self.desk.put_back(hand.pop(key), reason)
        self._arrived(worker, json.loads(result["moved"]))
        return self.deal(worker, result["slots"])

    def _note(self, worker: str, notes: list[str], ways: dict[str, str]) -> None:
        """What a worker does a slower way is said once, how each trial is trained is a tag."""
        for note in notes:
            if note not in self.notes:
                self.notes.add(note)
                self.desk.say(f"{worker}: {note}")
        for key in ways.keys() & self.hands[worker].keys():
            self.desk.tracker.tags(key, {names.WAY: ways[key]})

    def lost(self, worker: str, reason: str) -> None:
        """The worker's process died: others go on with its trials, unless that was too often."""
        hand = self.hands.pop(worker, {})
        self.benches.pop(worker, None)
        self.emptied.discard(worker)
        self.moving = {key: target for key, target in self.moving.items() if key not in hand}
        self.deaths += 1
        if self.deaths > DEATHS_IN_A_ROW:
            self.desk.stop_reason = f"{self.deaths} workers died one after the other ({reason})"
        for trial in hand.values():
            if len(hand) == 1:
                self.desk.lost(trial, "worker_lost", reason)
                if trial.status in ENDED:
                    self.suspects.discard(trial.key)
            else:
                self.suspects.add(trial.key)
                self.desk.put_back(trial, reason)
        if len(hand) > 1:
            self.desk.say(f"{reason} with {len(hand)} trials: each trains an epoch alone now")
        ray.get(self.mailbox.take.remote(worker))

    def _send(self, worker: str, letters: list[dict[str, Any]]) -> None:
        if letters:
            ray.get(self.mailbox.put.remote(worker, letters))


class DealerScheduler(FIFOScheduler):
    """Passes a worker's result to the dealer; a worker without work ends."""

    def __init__(self, dealer: Dealer) -> None:
        super().__init__()
        self.dealer = dealer

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """One epoch of one worker."""
        with tuning.stopping():
            busy = self.dealer.hear(trial.config["worker"], result)
        return str(TrialScheduler.CONTINUE if busy else TrialScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "dealer"}


class DealerCallback(Callback):
    """Hears of workers that start and die, and lets the desk stop the study."""

    def __init__(self, dealer: Dealer) -> None:
        self.dealer = dealer

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.dealer.desk.check()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        with tuning.stopping():
            self.dealer.deal(trial.config["worker"], self.dealer.slots)

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        with tuning.stopping():
            self.dealer.lost(trial.config["worker"], "the worker process died")

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        with tuning.stopping():
            self.dealer.lost(trial.config["worker"], "the worker process died")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "dealer"}


def run(
    desk: Desk,
    *,
    data: dict[str, Any],
    device: str,
    slots: int | None,
    like: Sequence[TrialConfig],
    workers: int,
    resources: dict[str, float],
    ways: Ways,
    stacked: bool,
    source: str | None = None,
) -> None:
    """Train all that the desk hands out, up to `slots` configurations at a time on each worker.

    slots: None lets each worker measure, with the first trial that it is dealt. like: what
    the study suggests; ways, stacked: see `Workbench`.

    Raises StudyStopped.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    mailbox = Mailbox.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]
    dealer = Dealer(desk, mailbox, slots or 1)
    trainable = tune.with_parameters(
        CohortTrainable,
        data=data,
        device=device,
        mailbox=mailbox,
        slots=slots,
        like=[config.model_dump_json() for config in like],
        source=source,
        ways=ways,
        stacked=stacked,
    )
    tuning.fit(
        tune.with_resources(trainable, resources),
        DealerCallback(dealer),
        -1,  # the dealer counts deaths: a worker's own tally would end a GPU's work for good
        param_space={"worker": tune.grid_search([f"worker-{i}" for i in range(workers)])},
        scheduler=DealerScheduler(dealer),
    )
