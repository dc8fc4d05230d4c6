"""K trials in lock-step on one device, each with its own session, records and checkpoints.

To whoever runs it a cohort is K slots: `admit` an assignment, `run_epoch` for one record per
occupied slot, `release` what was pruned. A slot that has become empty takes the next assignment at
once, so that trials of different age train side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType

import torch

from vae_trainables.cohort import proof
from vae_trainables.cohort.adam import FlatAdam, KernelAdam, PerSlotAdam, StackedAdam
from vae_trainables.cohort.assignment import Assignment
from vae_trainables.cohort.bank import Bank
from vae_trainables.cohort.capture import CapturedStep
from vae_trainables.cohort.fusion import extent, fusion_key
from vae_trainables.cohort.member import Member, Trained
from vae_trainables.cohort.models import InPrecision, StackedModel
from vae_trainables.cohort.models import build as build_forward
from vae_trainables.cohort.objective import StackedObjective
from vae_trainables.cohort.probing import StackedProbe
from vae_trainables.cohort.randomness import (
    CounterRandomness,
    KernelRandomness,
    KeyedRandomness,
    Randomness,
)
from vae_trainables.cohort.step import LockStep
from vae_trainables.cohort.validation import StackedValidation
from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.cohort.ways import Ways
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.errors import in_one_line
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.numerics import fast
from vae_trainables.numerics.determinism import repeatable_convolutions
from vae_trainables.training.session import Record, Session, is_out_of_memory
from vae_trainables.training.trial import build_model

_INSTEAD = {
    "kernels": "torch's own operations do the same, slower",
    "capture": "it runs un-captured, slower",
}


class CohortError(ValueError):
    """A trial, a slot or a number of slots that a cohort cannot take."""


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
        self._evaluator = Evaluator(data, self.device)
        train = data.train.take(config.data.train_size)
        images, labels = train.images.to(self.device), train.labels.to(self.device)
        self._resident = replace(data, train=replace(train, images=images, labels=labels))
        self._seats: dict[int, _Seat] = {}
        self.notes: list[str] = []
        """What could not be done the fast way, a line each."""
        self._train: Callable[[int], None]
        """So many steps, captured or not."""
        with repeatable_convolutions(self.ways.repeatable):
            self._assemble()

    def _assemble(self) -> None:
        """Make the parts, and try what may fail here: the slower way then takes its place.

        All slots are empty yet: what this trains are rows that `admit` will overwrite.
        """
        self._build()
        if self.ways.kernels:
            try:
                self._lock_step.step()
            except Exception as error:
                self._fall_back("kernels", "the Triton kernels failed", error)
                self._build()
        if self.ways.capture:
            try:
                self._train = CapturedStep(self._lock_step.step, self.device)
            except Exception as error:
                self._fall_back("capture", "the step could not be captured", error)
                self._build()

    def _fall_back(self, way: str, trouble: str, error: Exception) -> None:
        """Do without a fast way from now on; a lack of memory is no reason for that."""
        if is_out_of_memory(error):
            raise error
        self.ways = replace(self.ways, **{way: False})  # type: ignore[arg-type]
        self.notes.append(f"{trouble} ({in_one_line(error)}): {_INSTEAD[way]}")

    def _build(self) -> None:
        config, slots, device = self.config, self.slots, self.device
        template = build_model(self.extent.template(config))
        width = template.noise_dim
        images, labels = self._resident.train.images, self._resident.train.labels
        batch_size = min(config.optimiser.batch_size, len(images))
        bank = Bank(template, slots, device)
        forward = build_forward(
            template.to(device),
            self.ways.convolution,
            config.optimiser.precision,
            fused=self.key.fusible,
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
            variational=config.model.variational,
            precision=config.optimiser.precision,
            rounds_once=self._rounds_once(forward),
        )
        self._train = self._lock_step.run
        probe = None
        if self.ways.probe:
            parts = bank, forward.forward, template, self._evaluator, config
            probe = StackedProbe(*parts, self.notes.append)
        self._validation = StackedValidation(
            bank, forward, template, vectors, self._evaluator, config, probe
        )

    def _rounds_once(self, forward: InPrecision) -> bool:
        """Whether autocast rounds every weight, each for one product: then all can be at once."""
        plain = isinstance(forward.forward, StackedModel) and self.ways.convolution == "grouped"
        return self.config.optimiser.precision == "bf16" and self.ways.adam == "flat" and plain

    def _randomness(self, vectors: SlotVectors) -> Randomness:
        if self.ways.backend != "counter":
            return KeyedRandomness(vectors.latent_mask)
        if self.ways.kernels:
            return KernelRandomness(self.config, self.extent.terms, vectors, self._kernels())
        return CounterRandomness(self.config, self.extent.terms, vectors)

    def _adam(self, bank: Bank) -> StackedAdam:
        decoupled = self.config.optimiser.algorithm == "adamw"
        if self.ways.adam != "flat":
            return PerSlotAdam(bank, decoupled=decoupled)
        if self.ways.kernels:
            return KernelAdam(bank, self._kernels(), decoupled=decoupled)
        return FlatAdam(bank, decoupled=decoupled)

    def _kernels(self) -> ModuleType:
        able = fast.on(self.device)
        if able.kernels is None:
            raise RuntimeError(able.trouble or f"there are no kernels for {self.device}")
        return able.kernels

    def _check_size(self) -> None:
        if self.slots < 1:
            raise CohortError(f"a cohort needs at least 1 slot, not {self.slots}")
        if self.slots > 1 and not self.key.fusible:
            raise CohortError(
                f"{self.config.model.kind} models cannot be fused: {self.key.obstacle}; "
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
        records, goes_on = assignment.opened(session)
        if goes_on:
            self._seat(slot, assignment, session)
        return records

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
            keep_at=assignment.keep_at,
        )

    def _seat(self, slot: int, assignment: Assignment, session: Session) -> None:
        member = session.trial
        assert isinstance(member, Member)
        self.bank.load(slot, member.model, member.optimizer.state)
        self._vectors.fill(slot, member.now, member.noise_dim)
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
        with repeatable_convolutions(self.ways.repeatable):
            self._lock_step.begin_epoch(members)
            self._train(self._lock_step.steps)
            means = self._lock_step.means()
        trained = time.perf_counter()
        for slot, member in members.items():
            member.trained_elsewhere(partial(self.bank.store, slot))
        validation = self._validation(members)
        train_s, eval_s = trained - started, time.perf_counter() - trained
        for slot, member in members.items():
            member.trained = Trained(
                means[slot], validation[slot], train_s, eval_s, together=len(members)
            )
        records = [(slot, self._seats[slot], self._tell(slot)) for slot in members]
        return [(slot, record) for slot, seat, record in records if seat.assignment.news(record)]

    def _tell(self, slot: int) -> Record:
        record = self._seats[slot].session.next_record()
        if record.outcome != "running":
            self.release(slot)
        return record

    def keep(self, slot: int) -> Record | None:
        """Write a checkpoint of the slot's trial now; a record only if that was its end."""
        return self._seats[slot].session.keep()

    def release(self, slot: int) -> None:
        """Vacate a slot whose trial goes on nowhere, pruned or ended; its checkpoints stay."""
        self._seats.pop(slot).member.catch_up()
        self.bank.clear(slot)
        self._vectors.clear(slot)

    def rehearse(self, steps: int) -> float:
        """Images per second over at most `steps` steps, for a cohort that has no trials yet.

        Validates too, untimed, so that the device's memory has seen all that an epoch needs.
        """
        if self._seats:
            raise CohortError(f"slots {sorted(self._seats)} hold trials: rehearse before admitting")
        steps = min(steps, self._lock_step.steps)
        with repeatable_convolutions(self.ways.repeatable):
            seconds = [self._seconds(steps) for _ in range(2)][1]  # the first time warms up
        self._validation({})
        return self.slots * steps * self._lock_step.batch_size / seconds

    def _seconds(self, steps: int) -> float:
        self._lock_step.begin_epoch({})
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # the epoch's order costs more for more slots
        started = time.perf_counter()
        self._train(steps)
        self._lock_step.means()  # waits for the device
        return time.perf_counter() - started

    def prove(self) -> str:
        """Why trials had better train alone here, in one line, or nothing; before any is admitted.

        Trains first steps of invented trials, stacked and alone (`Ways.proof`). A captured step
        that differs from the same step un-captured is given up on the way.
        """
        if not self.ways.proof:
            return ""
        try:
            return self._proof()
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return f"stacked steps failed: {in_one_line(error)}"

    def _proof(self) -> str:
        members = {slot: self._invented(slot) for slot in {0, self.slots - 1}}
        traces = self._together(members, self._lock_step.run)
        if self.ways.capture:
            captured = self._together(members, self._train)
            distance = max(captured[slot].distance(traces[slot]) for slot in members)
            if distance > proof.SAME:
                error = CohortError(f"it differs by {distance:.1%} from the same step un-captured")
                self._fall_back("capture", "the captured step is wrong", error)
                self._train = self._lock_step.run
        own = {slot: proof.alone(member, slot, self.bank) for slot, member in members.items()}
        distance = max(traces[slot].distance(own[slot]) for slot in members)
        if distance > proof.LIKE_ALONE[self.config.optimiser.precision]:
            return f"stacked steps differ by {distance:.1%} from a trial's own"
        together, alone = self.rehearse(proof.TIMED_STEPS), proof.images_per_s(members[0])
        if together < proof.WORTH * alone:
            return f"{self.slots} slots train {together:,.0f} images/s, a trial alone {alone:,.0f}"
        return ""

    def _invented(self, slot: int) -> Member:
        assert self.ways.backend is not None
        return Member(
            proof.rehearsed(self.config, slot),
            self._resident,
            backend=self.ways.backend,
            device=self.device,
            evaluator=self._evaluator,
        )

    def _together(
        self, members: dict[int, Member], train: Callable[[int], None]
    ) -> dict[int, proof.Trace]:
        with repeatable_convolutions(self.ways.repeatable):
            return proof.together(members, train, self._lock_step, self.bank, self._vectors)

    @property
    def way(self) -> str:
        """How the cohort trains, in a few words."""
        steps = "captured" if self.ways.capture else "un-captured"
        kernels = "with Triton kernels" if self.ways.kernels else "without Triton kernels"
        return f"{self.slots} slots, {steps}, {kernels}"

    def disband(self) -> None:
        """Give up all trials and the memory; the trials go on from their newest checkpoints."""
        self._seats.clear()
        if isinstance(self._train, CapturedStep):
            self._train.release()
        del self._train, self._lock_step, self._validation, self.bank, self._vectors
        del self._resident, self._evaluator


@dataclass(frozen=True)
class _Seat:
    """An occupied slot."""

    assignment: Assignment
    session: Session
    member: Member
