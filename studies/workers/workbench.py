"""What one long-lived worker holds: its trials in cohorts, as many as their fusion keys ask for.

Knows neither Ray nor the driver. Trials that cannot be fused sit in cohorts of one slot; together
there are never more trials than slots.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vae_trainables.cohort import (
    Assignment,
    Cohort,
    Ways,
    auto_slots,
    fusion_key,
    within_memory,
)
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.session import ERROR, Record, is_out_of_memory, outcome_of

SAVE_EVERY_S = 30.0  # a cohort's epochs are short; what a crash costs is trained again


@dataclass(frozen=True)
class Seat:
    """Where a trial trains."""

    cohort: Cohort
    slot: int
    assignment: Assignment


class Workbench:
    """Up to `slots` trials on one device.

    slots: None measures them on the device when the first trial arrives; until then there is one.
    like: configurations as the study's space suggests them. Cohorts bear what these have, so that
    one takes all of a fusion key; where they have several keys, their cohorts share the slots.
    """

    def __init__(
        self,
        data: TrialData,
        *,
        device: str,
        slots: int | None,
        like: Sequence[TrialConfig] = (),
        ways: Ways | None = None,
        save_every_s: float = SAVE_EVERY_S,
        size: Callable[..., int] = auto_slots,
    ) -> None:
        self.data, self.device, self.ways, self.like = data, device, ways, like
        self.keys = len({fusion_key(config) for config in like}) or 1
        self.slots, self._size = slots or 1, size if slots is None else None
        self.save_every_s = save_every_s
        self.seats: dict[str, Seat] = {}
        self._unseated: list[str] = []
        self._cohorts: list[Cohort] = []

    def take(self, key: str, assignment: Assignment) -> list[Record]:
        """Seat a trial; the records that its checkpoint repeats, or the record of its end.

        One for whom no slot is left, because memory ran out since it was dealt, is evicted next.
        """
        try:
            cohort = self._cohort(assignment.config)
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
        return records

    def release(self, key: str) -> None:
        """The trial was pruned; nothing if it has left already."""
        seat = self.seats.pop(key, None)
        if seat is not None:
            seat.cohort.release(seat.slot)

    def run_epoch(self) -> tuple[list[tuple[str, Record]], list[str]]:
        """An epoch of every trial: records by trial key, and keys of trials to be placed anew.

        Where memory runs out the slots are halved; a trial that does not fit alone has ended. Any
        other error of a step is raised where several trials share it: it is nobody's yet, and the
        device may be unusable to this process.
        """
        told: list[tuple[str, Record]] = []
        evicted, self._unseated = self._unseated, []
        for cohort in list(self._cohorts):
            keys = {seat.slot: key for key, seat in self.seats.items() if seat.cohort is cohort}
            try:
                records = cohort.run_epoch()
            except Exception as error:
                told += self._broken(cohort, list(keys.values()), error, evicted)
                continue
            told += [(keys[slot], record) for slot, record in records]
        for key, record in told:
            if record.outcome != "running":
                self.seats.pop(key, None)
        return told, evicted

    def _cohort(self, config: TrialConfig) -> Cohort:
        for cohort in self._cohorts:
            if cohort.vacant and cohort.accepts(config):
                return cohort
        self._cohorts = [each for each in self._cohorts if len(each.vacant) < each.slots]
        self._cohorts.append(self._build(config))
        return self._cohorts[-1]

    def _build(self, config: TrialConfig) -> Cohort:
        if not fusion_key(config).fusible:
            return self._sized(config, 1)
        if self._size is not None:
            device, ways = self.device, self.ways
            self.slots = self._size(config, self.data, device=device, like=self.like, ways=ways)
            self._size = None
        wanted = math.ceil(self.slots / self.keys)
        cohort = within_memory(lambda slots: self._sized(config, slots), wanted)
        if cohort.slots < wanted:
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
    ) -> list[tuple[str, Record]]:
        """Give the cohort up: its trials go on elsewhere, unless one alone was too much."""
        folders = [self.seats[key].assignment.folder for key in keys]
        self._cohorts.remove(cohort)
        cohort.disband()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        for key in keys:
            del self.seats[key]
        if is_out_of_memory(error) and (cohort.slots > 1 or self.seats):
            self.slots = max(1, self.slots // 2)
            evicted += keys
            return []
        if len(keys) > 1:
            raise error
        return [(key, _failure(error, f)) for key, f in zip(keys, folders, strict=True)]


def _failure(error: Exception, folder: Path) -> Record:
    """The record of a trial's end, its traceback beside its checkpoints."""
    outcome = outcome_of(error)
    if outcome != "unsaved":
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ERROR).write_text("".join(traceback.format_exception(error)))
    text = (str(error).splitlines() or [""])[0][:300]
    return Record(0, outcome, f"{type(error).__name__}: {text}")
