"""What one long-lived worker holds: its trials in cohorts, one cohort per fusion key.

Knows neither Ray nor the driver. Trials that cannot be fused sit in cohorts of one slot; together
there are never more trials than slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from vae_trainables.cohort import (
    Assignment,
    Cohort,
    FusionKey,
    Ways,
    auto_slots,
    fusion_key,
    within_memory,
)
from vae_trainables.config import TrialConfig
from vae_trainables.session import Record, is_out_of_memory
from vae_trainables.train import TrialData

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
    latent_dim: the widest that any trial of the study has, so that one cohort takes them all.
    """

    def __init__(
        self,
        data: TrialData,
        *,
        device: str,
        slots: int | None,
        latent_dim: int,
        ways: Ways | None = None,
        save_every_s: float = SAVE_EVERY_S,
        size: Callable[..., int] = auto_slots,
    ) -> None:
        self.data, self.device, self.ways = data, device, ways
        self.slots, self._size = slots or 1, size if slots is None else None
        self.latent_dim, self.save_every_s = latent_dim, save_every_s
        self.seats: dict[str, Seat] = {}
        self._unseated: list[str] = []
        self._cohorts: dict[FusionKey, Cohort] = {}

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
            return [_failure(error)]
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

        Where memory runs out the slots are halved; a trial that does not fit alone has ended.
        """
        told: list[tuple[str, Record]] = []
        evicted, self._unseated = self._unseated, []
        for fusion, cohort in list(self._cohorts.items()):
            keys = {seat.slot: key for key, seat in self.seats.items() if seat.cohort is cohort}
            try:
                records = cohort.run_epoch()
            except Exception as error:
                told += self._broken(fusion, list(keys.values()), error, evicted)
                continue
            told += [(keys[slot], record) for slot, record in records]
        for key, record in told:
            if record.outcome != "running":
                self.seats.pop(key, None)
        return told, evicted

    def save(self) -> None:
        """Write a checkpoint of every trial, before the worker is left idle."""
        for cohort in self._cohorts.values():
            cohort.disband(save=True)
        self._cohorts.clear()
        self.seats.clear()

    def _cohort(self, assignment: Assignment) -> Cohort:
        fusion = fusion_key(assignment.config)
        cohort = self._cohorts.get(fusion)
        if cohort is None or not cohort.vacant:
            self._drop_empty()
            cohort = self._build(assignment.config, fusible=fusion.fusible)
            self._cohorts[self._unused(fusion)] = cohort
        return cohort

    def _build(self, config: TrialConfig, *, fusible: bool) -> Cohort:
        if not fusible:
            return self._sized(config, config.latent_dim, 1)
        latent = max(self.latent_dim, config.latent_dim)
        if self._size is not None:
            device, ways = self.device, self.ways
            self.slots = self._size(config, self.data, device=device, latent_dim=latent, ways=ways)
            self._size = None
        cohort = within_memory(lambda slots: self._sized(config, latent, slots), self.slots)
        self.slots = cohort.slots
        return cohort

    def _sized(self, config: TrialConfig, latent_dim: int, slots: int) -> Cohort:
        return Cohort(
            config,
            self.data,
            slots=slots,
            device=self.device,
            latent_dim=latent_dim,
            ways=self.ways,
            save_every_s=self.save_every_s,
        )

    def _unused(self, fusion: FusionKey) -> FusionKey:
        """Trials that cannot be fused may need several cohorts of one key."""
        while fusion in self._cohorts:
            fusion = FusionKey(fusion.shared + " ", fusion.terms, fusion.fusible)
        return fusion

    def _drop_empty(self) -> None:
        for fusion, cohort in list(self._cohorts.items()):
            if len(cohort.vacant) == cohort.slots:
                del self._cohorts[fusion]

    def _broken(
        self, fusion: FusionKey, keys: list[str], error: Exception, evicted: list[str]
    ) -> Iterator[tuple[str, Record]]:
        """Give the cohort up: its trials go on elsewhere, unless one alone was too much."""
        cohort = self._cohorts.pop(fusion)
        cohort.disband(save=False)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        for key in keys:
            del self.seats[key]
        if is_out_of_memory(error) and cohort.slots > 1:
            self.slots = max(1, self.slots // 2)
            evicted += keys
            return iter(())
        return iter([(key, _failure(error)) for key in keys])


def _failure(error: Exception) -> Record:
    outcome = "out_of_memory" if is_out_of_memory(error) else "failed"
    text = (str(error).splitlines() or [""])[0][:300]
    return Record(0, outcome, f"{type(error).__name__}: {text}")  # type: ignore[arg-type]
