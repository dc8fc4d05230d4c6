"""K trials in lock-step on one device, each with its own session, records and checkpoints.

To whoever runs it a cohort is K slots: `admit` an assignment, `run_epoch` for one record per
occupied slot, `release` what was pruned. A slot that has become empty takes the next assignment at
once, so that trials of different age train side by side.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from vae_trainables.cohort.adam import FlatAdam, PerSlotAdam, StackedAdam
from vae_trainables.cohort.bank import Bank
from vae_trainables.cohort.capture import captured
from vae_trainables.cohort.fusion import extent, fusion_key
from vae_trainables.cohort.member import Member, Trained
from vae_trainables.cohort.models import build as build_forward
from vae_trainables.cohort.objective import StackedObjective
from vae_trainables.cohort.randomness import CounterRandomness, KeyedRandomness, Randomness
from vae_trainables.cohort.step import LockStep
from vae_trainables.cohort.validation import StackedValidation
from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.cohort.ways import Ways
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.training.session import Record, Session
from vae_trainables.training.trial import build_model


class CohortError(ValueError):
    """A trial, a slot or a number of slots that a cohort cannot take."""


@dataclass(frozen=True)
class Assignment:
    """A trial for a slot; config, folder and open_test are those of `Session`."""

    config: TrialConfig
    folder: Path
    open_test: bool = False
    told: int = 0
    """Epochs whose records are known already and are not told again, the record of an end excepted.

    A checkpoint may be older than what was told: such epochs are trained again in silence.
    """

    def news(self, record: Record) -> bool:
        """Whether `record` is to be told."""
        return record.epoch > self.told or record.outcome != "running"


class Cohort:
    """Slots for trials of one fusion key.

    A member's weights, losses and metrics are those of the same trial alone: bit for bit for MLP
    kinds on a CPU, to rounding for convolutions and for a latent narrower than the cohort's (its
    matrix products are wider and may be summed in another order). Which slot it has, who its
    neighbours are and when they change does not alter a bit of it as long as the number of slots
    stays.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: TrialData,
        *,
        slots: int,
        device: torch.device | str = "cpu",
        like: Sequence[TrialConfig] = (),
        ways: Ways | None = None,
        save_every_s: float = 0.0,
    ) -> None:
        """config: any configuration of the key. like: others that may come; slots will bear what
        those of the same key have, by default what `config` has. save_every_s: as of `Session`.

        Raises CohortError for a number of slots that the key does not allow.
        """
        self.key, self.config, self.data = fusion_key(config), config, data
        self.slots = slots
        self.extent = extent(config, like)
        self.save_every_s = save_every_s
        self.device = torch.device(device)
        self.ways = (ways or Ways()).settled(self.device, config, self.extent.terms)
        self._check_size()
        torch.set_num_threads(config.threads)
        torch.backends.cudnn.deterministic = True  # else neighbours could change the last bits
        self._evaluator = Evaluator(data, self.device)
        train = data.train.take(config.train_size)
        resident = Split(train.images.to(self.device), train.labels.to(self.device))
        self._resident = replace(data, train=resident)
        self._seats: dict[int, _Seat] = {}
        self._assemble()

    def _assemble(self) -> None:
        """Make the parts. A step is captured now, while all slots are empty: warming it up trains
        rows that `admit` will overwrite.
        """
        config, slots, device = self.config, self.slots, self.device
        template = build_model(self.extent.template(config))
        width = template.noise_dim
        images, labels = self._resident.train.images, self._resident.train.labels
        batch_size = min(config.batch_size, len(images))
        bank = Bank(template, slots, device)
        forward = build_forward(
            template.to(device), self.ways.convolution, config.precision, fused=self.key.fusible
        )
        vectors = SlotVectors(
            slots,
            latent_dim=width,
            steps=len(images) // batch_size,
            device=device,
            names=self.extent.loss,
        )
        self.bank, self._vectors = bank, vectors
        self._lock_step = LockStep(
            bank=bank,
            forward=forward,
            objective=StackedObjective(vectors),
            randomness=self._randomness(vectors),
            adam=self._adam(bank),
            vectors=vectors,
            images=images,
            labels=labels,
            batch_size=batch_size,
            variational=config.variational,
            precision=config.precision,
        )
        self._step = self._lock_step.step
        if self.ways.capture:
            self._step = captured(self._lock_step.step, device)
        self._validation = StackedValidation(
            bank, forward, template, vectors, self._evaluator, config
        )

    def _randomness(self, vectors: SlotVectors) -> Randomness:
        if self.ways.backend == "counter":
            compiled = bool(self.ways.compiled)
            return CounterRandomness(self.config, self.extent.terms, vectors, compiled=compiled)
        return KeyedRandomness(vectors.latent_mask)

    def _adam(self, bank: Bank) -> StackedAdam:
        decoupled = self.config.optimizer == "adamw"
        if self.ways.adam == "flat":
            return FlatAdam(bank, decoupled=decoupled, compiled=bool(self.ways.compiled))
        return PerSlotAdam(bank, decoupled=decoupled)

    def _check_size(self) -> None:
        if self.slots < 1:
            raise CohortError(f"a cohort needs at least 1 slot, not {self.slots}")
        if self.slots > 1 and not self.key.fusible:
            raise CohortError(
                f"{self.config.kind} models cannot be fused: {self.key.obstacle}; "
                f"give 1 slot, not {self.slots}"
            )

    @property
    def vacant(self) -> list[int]:
        """The slots without a trial."""
        return [slot for slot in range(self.slots) if slot not in self._seats]

    def accepts(self, config: TrialConfig) -> bool:
        """Whether `config` may be admitted: the key is the cohort's, and nothing of it wider."""
        return not self._obstacles(config)

    def _obstacles(self, config: TrialConfig) -> list[str]:
        return fusion_key(config).differences(self.key) or self.extent.lacks(extent(config))

    def member(self, slot: int) -> Member:
        """The trial in `slot`, as the last epoch left it; CohortError if there is none."""
        if slot not in self._seats:
            raise CohortError(f"slot {slot} is vacant: trials are in {sorted(self._seats)}")
        return self._seats[slot].member

    def admit(self, slot: int, assignment: Assignment) -> list[Record]:
        """Seat a trial where its newest checkpoint left it; the records that this repeats.

        If the last of them ends the trial, the slot stays vacant. Raises CohortError for a slot
        that is not vacant and for a configuration that the cohort does not accept.
        """
        config = assignment.config
        if slot not in self.vacant:
            raise CohortError(f"slot {slot} is not vacant: the vacant ones are {self.vacant}")
        if reasons := self._obstacles(config):
            raise CohortError(
                f"the configuration {config.fingerprint()} does not fit this cohort "
                f"({'; '.join(reasons)}): admit it to one of its own fusion key"
            )
        session = self._session(assignment)
        failure = session.open()
        if failure is not None:
            return [failure]
        told = []
        while session.replaying:
            told.append(session.next_record())
        if not told or told[-1].outcome == "running":
            self._seat(slot, assignment, session)
        return [record for record in told if assignment.news(record)]

    def _session(self, assignment: Assignment) -> Session:
        assert self.ways.backend is not None
        return Session(
            assignment.config,
            self._resident,
            assignment.folder,
            open_test=assignment.open_test,
            device=str(self.device),
            evaluator=self._evaluator,
            trial_type=partial(Member, backend=self.ways.backend),
            save_every_s=self.save_every_s,
        )

    def _seat(self, slot: int, assignment: Assignment, session: Session) -> None:
        member = session.trial
        assert isinstance(member, Member)
        self.bank.load(slot, member.model, member.optimizer.state)
        self._vectors.fill(slot, member.config, member.noise_dim)
        self._seats[slot] = _Seat(assignment, session, member)

    def run_epoch(self) -> list[tuple[int, Record]]:
        """Train an epoch in every occupied slot; each slot's news. An ended trial leaves.

        What is wrong with one trial becomes its record. What hits all of them, such as memory
        running out in a step, is raised; the slots' weights are then void: `disband`.
        """
        members = {slot: seat.member for slot, seat in sorted(self._seats.items())}
        if not members:
            return []
        started = time.perf_counter()
        self._lock_step.begin_epoch(members)
        for _ in range(self._lock_step.steps):
            self._step()
        means = self._lock_step.means()
        trained = time.perf_counter()
        for slot, member in members.items():
            self.bank.store(slot, member.model, member.optimizer.state)
        validation = self._validation(members)
        train_s, eval_s = trained - started, time.perf_counter() - trained
        for slot, member in members.items():
            member.trained = Trained(means[slot], validation[slot], train_s, eval_s)
        told = [(slot, self._seats[slot], self._tell(slot)) for slot in members]
        return [(slot, record) for slot, seat, record in told if seat.assignment.news(record)]

    def _tell(self, slot: int) -> Record:
        record = self._seats[slot].session.next_record()
        if record.outcome != "running":
            self.release(slot)
        return record

    def release(self, slot: int) -> None:
        """Vacate a slot whose trial goes on nowhere, pruned or ended; its checkpoints stay."""
        del self._seats[slot]
        self.bank.clear(slot)
        self._vectors.clear(slot)

    def rehearse(self, steps: int) -> float:
        """Images per second over at most `steps` steps, for a cohort that has no trials yet.

        Validates too, untimed, so that the device's memory has seen all that an epoch needs.
        """
        if self._seats:
            raise CohortError(f"slots {sorted(self._seats)} hold trials: rehearse before admitting")
        steps = min(steps, self._lock_step.steps)
        seconds = 0.0
        for _ in range(2):  # the first time warms up
            self._lock_step.begin_epoch({})
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)  # the epoch's order costs more for more slots
            started = time.perf_counter()
            for _ in range(steps):
                self._step()
            self._lock_step.means()  # waits for the device
            seconds = time.perf_counter() - started
        self._validation({})
        return self.slots * steps * self._lock_step.batch_size / seconds

    def disband(self) -> None:
        """Give up all trials and the memory; the trials go on from their newest checkpoints."""
        self._seats.clear()
        del self._step, self._lock_step, self._validation, self.bank, self._vectors


@dataclass(frozen=True)
class _Seat:
    """An occupied slot."""

    assignment: Assignment
    session: Session
    member: Member
