"""What one long-lived worker holds: its trials in cohorts, as many as their fusion keys ask for.

Knows neither Ray nor the driver. Trials that cannot be fused sit in cohorts of one slot; together
there are never more trials than slots. Where a cohort cannot be built, computes something else than
a trial alone or fails in a step, its trials train alone, each by its own steps.
"""

from __future__ import annotations

import math
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from vae_trainables.cohort import (
    Alone,
    Assignment,
    Cohort,
    FusionKey,
    Ways,
    auto_slots,
    free_memory,
    fusion_key,
    usable,
    within_memory,
)
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.errors import in_one_line
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.numerics import fast
from vae_trainables.training.session import ERROR, Record, is_out_of_memory, outcome_of

COHORT_ERROR = "cohort_error.txt"
SAVE_EVERY_S = 30.0  # a cohort's epochs are short; what a crash costs is trained again
Told = list[tuple[str, Record]]
"""Records by trial key."""


@dataclass(frozen=True)
class Seat:
    """Where a trial trains."""

    cohort: Cohort | Alone
    slot: int
    assignment: Assignment

    def heard(self, record: Record) -> Seat:
        """The seat of a trial whose `record` is known."""
        epochs = max(self.assignment.told, record.epoch)
        return replace(self, assignment=replace(self.assignment, told=epochs))


class Workbench:
    """Up to `slots` trials on one device.

    slots: None measures them on the device when the first trial arrives; until then there is one.
    like: configurations as the study's space suggests them. Cohorts bear what these have, so that
    one takes all of a fusion key; where they have several keys, their cohorts share the slots.
    stacked: False trains each trial alone.
    """

    def __init__(
        self,
        data: TrialData,
        *,
        device: str,
        slots: int | None,
        like: Sequence[TrialConfig] = (),
        ways: Ways | None = None,
        stacked: bool = True,
        save_every_s: float = SAVE_EVERY_S,
        size: Callable[..., int] = auto_slots,
    ) -> None:
        self.data, self.device, self.ways, self.like = data, device, ways or Ways(), like
        self.keys = len({fusion_key(config) for config in like}) or 1
        self.slots, self._size = slots or 1, size if slots is None else None
        self.stacked, self.save_every_s = stacked, save_every_s
        self.seats: dict[str, Seat] = {}
        self._unseated: list[str] = []
        self._cohorts: list[Cohort | Alone] = []
        self._unstacked: dict[FusionKey, str] = {}
        self._notes, self._ways = self._troubles(), dict[str, str]()

    def _troubles(self) -> list[str]:
        if self.stacked and self.ways.kernels is False:
            return []
        trouble = fast.on(torch.device(self.device)).trouble
        return [f"no Triton kernels ({trouble}): random numbers are slower"] if trouble else []

    def news(self) -> tuple[list[str], dict[str, str]]:
        """Since the last call: what goes a slower way, a line each, and trials' ways by key."""
        notes, ways = self._notes, self._ways
        self._notes, self._ways = [], {}
        return notes, ways

    def take(self, key: str, assignment: Assignment) -> list[Record]:
        """Seat a trial; the records that its checkpoint repeats, or the record of its end.

        One for whom no slot is left, because memory ran out since it was dealt, is evicted next.
        """
        try:
            cohort = self._cohort(assignment)
            if len(self.seats) >= self.slots:
                self._unseated.append(key)
                return []
            slot = cohort.vacant[0]
            records = cohort.admit(slot, assignment)
        except Exception as error:
            if is_out_of_memory(error) and self.seats:
                self.slots = len(self.seats)  # it may fit once another has left
                self._unseated.append(key)
                return []
            return [_failure(error, assignment.folder)]
        if slot not in cohort.vacant:
            self.seats[key] = Seat(cohort, slot, assignment)
            self._ways[key] = self._way(cohort, assignment.config)
            self._hear([(key, record) for record in records])
        return records

    def _way(self, cohort: Cohort | Alone, config: TrialConfig) -> str:
        reason = self._unstacked.get(fusion_key(config), "")
        return f"{cohort.way}: {reason}" if reason else cohort.way

    def release(self, key: str) -> None:
        """The trial was pruned; nothing if it has left already."""
        seat = self.seats.pop(key, None)
        if seat is not None:
            seat.cohort.release(seat.slot)

    def move_out(self, key: str) -> Record | None:
        """Give up a trial that another worker continues; a record if it could not be saved."""
        seat = self.seats[key]
        record = seat.cohort.keep(seat.slot)
        self.release(key)
        return record

    def stacked_slots(self) -> dict[str, int]:
        """Slots of the cohorts that train several trials, by `FusionKey.shared`."""
        counts = Counter[str]()
        for cohort in self._cohorts:
            if not isinstance(cohort, Alone) and cohort.slots > 1:
                counts[cohort.key.shared] += cohort.slots
        return dict(counts)

    def run_epoch(self) -> tuple[list[tuple[str, Record]], list[str]]:
        """An epoch of every trial: records by trial key, and keys of trials to be placed anew.

        Where memory runs out the slots are halved; a trial that does not fit alone has ended. After
        any other error of a step that trials share they go on alone, unless it has made the device
        unusable to this process: then it is raised.
        """
        reports: Told = []
        evicted, self._unseated = self._unseated, []
        for cohort in list(self._cohorts):
            keys = {seat.slot: key for key, seat in self.seats.items() if seat.cohort is cohort}
            try:
                records = cohort.run_epoch()
            except Exception as error:
                if isinstance(cohort, Alone):
                    raise
                reports += self._broken(cohort, list(keys.values()), error, evicted)
                continue
            self._heed(cohort)
            reports += self._kept(
                cohort, [(keys[slot], record) for slot, record in records], evicted
            )
        self._hear(reports)
        for key, record in reports:
            if record.outcome != "running":
                self.seats.pop(key, None)
        return reports, evicted

    def _hear(self, reports: Told) -> None:
        """Epochs that are known need not be told again, whoever trains them anew."""
        for key, record in reports:
            if key in self.seats:
                self.seats[key] = self.seats[key].heard(record)

    def _kept(self, cohort: Cohort | Alone, reports: Told, evicted: list[str]) -> Told:
        """What a trial alone says that others on the device have done to it is not its end."""
        if not isinstance(cohort, Alone) or not reports:
            return reports
        ((key, record),) = reports
        if record.outcome == "failed" and not usable(self.device):
            raise RuntimeError(f"{self.device} is unusable to this process: {record.reason}")
        if record.outcome == "out_of_memory" and len(self.seats) > 1:
            del self.seats[key]
            self.slots = len(self.seats)
            evicted.append(key)
            return []
        return reports

    def _cohort(self, assignment: Assignment) -> Cohort | Alone:
        config = assignment.config
        for cohort in self._cohorts:
            if cohort.vacant and cohort.accepts(config):
                return cohort
        self._cohorts = [held for held in self._cohorts if len(held.vacant) < held.slots]
        self._cohorts.append(self._build(config, assignment.folder))
        return self._cohorts[-1]

    def _build(self, config: TrialConfig, folder: Path) -> Cohort | Alone:
        """A cohort for trials like `config`, or a place for one alone where that cannot be.

        folder: of a trial, for a traceback.
        """
        key = fusion_key(config)
        if not self.stacked or key in self._unstacked:
            return self._alone()
        try:
            cohort = self._stack(config)
            reason = cohort.prove()
        except Exception as error:
            if is_out_of_memory(error):
                raise
            where = self._traceback(error, folder)
            return self._unstack(key, f"no cohort: {in_one_line(error)}{where}")
        self._heed(cohort)
        if reason:
            cohort.disband()
            return self._unstack(key, reason)
        return cohort

    def _heed(self, cohort: Cohort | Alone) -> None:
        """Pass on what goes a slower way in a cohort, once."""
        if isinstance(cohort, Alone):
            return
        self._notes += cohort.notes
        cohort.notes.clear()

    def _unstack(self, key: FusionKey, reason: str) -> Alone:
        self._unstacked[key] = reason
        self._notes.append(f"{reason}: such trials train alone, slower")
        free_memory()
        return self._alone()

    def _alone(self) -> Alone:
        return Alone(
            self._resident,
            device=self.device,
            evaluator=self._evaluator,
            backend=self.ways.backend,
            save_every_s=self.save_every_s,
        )

    @cached_property
    def _resident(self) -> TrialData:
        """The data with the training images on the device, for all trials that train alone."""
        train = self.data.train
        images, labels = train.images.to(self.device), train.labels.to(self.device)
        return replace(self.data, train=replace(train, images=images, labels=labels))

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.data, torch.device(self.device))

    def _stack(self, config: TrialConfig) -> Cohort:
        if not fusion_key(config).fusible:
            return self._sized(config, 1)
        if self._size is not None:
            device, ways = self.device, self.ways
            self.slots = self._size(config, self.data, device=device, like=self.like, ways=ways)
            self._size = None
        share = math.ceil(self.slots / self.keys)
        cohort = within_memory(lambda slots: self._sized(config, slots), share)
        if cohort.slots < share:
            self.slots = len(self.seats) + cohort.slots
        return cohort

    def _sized(self, config: TrialConfig, slots: int) -> Cohort:
        return Cohort(
            config,
            self.data,
            slots=slots,
            device=self.device,
            like=self.like,
            ways=self.ways,
            save_every_s=self.save_every_s,
        )

    def _broken(
        self, cohort: Cohort, keys: list[str], error: Exception, evicted: list[str]
    ) -> Told:
        """Give the cohort up: its trials go on elsewhere, unless one alone was too much."""
        seats = {key: self.seats.pop(key) for key in keys}
        self._cohorts.remove(cohort)
        cohort.disband()
        if is_out_of_memory(error):
            free_memory()
            if cohort.slots > 1 or self.seats:
                self.slots = max(1, self.slots // 2)
                evicted += keys
                return []
            return [(key, _failure(error, seat.assignment.folder)) for key, seat in seats.items()]
        if not usable(self.device):
            raise error
        where = self._traceback(error, next(iter(seats.values())).assignment.folder)
        reason = f"a step failed: {in_one_line(error)}{where}"
        self._unstack(fusion_key(cohort.config), reason)
        return [
            (key, record)
            for key, seat in seats.items()
            for record in self.take(key, seat.assignment)
        ]

    def _traceback(self, error: Exception, folder: Path) -> str:
        """Where a cohort's traceback is kept: beside the checkpoints of one of its trials."""
        try:
            _keep(error, folder, COHORT_ERROR)
        except OSError:
            return ""
        return f" (traceback: {folder / COHORT_ERROR})"


def _keep(error: Exception, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(traceback.format_exception(error)))


def _failure(error: Exception, folder: Path) -> Record:
    """The record of a trial's end, its traceback beside its checkpoints."""
    outcome = outcome_of(error)
    if outcome != "unsaved":
        _keep(error, folder, ERROR)
    return Record(0, outcome, in_one_line(error))
