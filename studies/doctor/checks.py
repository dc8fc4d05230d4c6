"""The checks of one device, each a line: random numbers, single trials, cohorts in every way."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import get_args

import torch

from studies.doctor import machine
from studies.doctor.line import Line, Status
from vae_trainables import kinds
from vae_trainables.cohort import Cohort, Ways, free_memory, proof
from vae_trainables.cohort.member import Member
from vae_trainables.config import Precision, TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.errors import in_one_line
from vae_trainables.numerics import fast, philox
from vae_trainables.numerics.precision import effective

TRACEBACKS = "doctor-errors.txt"
SLOTS, COMPARED = (1, 2, 8, 32), 8
FEW = 2  # slots where only the numbers matter
STEPS = 20
NUMBERS, TOLERANCE = 100_000, 4e-6
MODELS = {
    "mlp": TrialConfig(kind="mlp_vae", noise_factor=0.45),
    "conv": TrialConfig(kind="conv_vae", noise_factor=0.45, supcon_gamma=1.0),
}
WAYS = {"un-captured": Ways(capture=False), "eager": Ways.plain(), "im2col": Ways("im2col")}
Check = Callable[[str], Line]
"""The line of a name."""


@dataclass
class Examination:
    """The checks of one device; a check that raises is a line like another."""

    device: torch.device
    folder: Path
    models: dict[str, TrialConfig] = field(default_factory=lambda: dict(MODELS))
    slots: tuple[int, ...] = SLOTS
    families: bool = True
    lines: list[Line] = field(default_factory=list)

    def run(self) -> None:
        """All checks, each printed as soon as it has ended."""
        for name, check in self._checks():
            name = f"{self.device} {name}"
            try:
                line = check(name)
            except Exception as error:
                line = Line(name, "failed", self._kept(name, error))
            free_memory()
            self.lines.append(line)
            print(f"{line.status:7} {line.name}: {line.detail}", flush=True)

    def _checks(self) -> Iterator[tuple[str, Check]]:
        if self.device.type == "cuda":
            yield "as Ray's worker", lambda name: machine.as_a_worker(self.device.index)
        yield "random numbers", self._random_numbers
        yield "kernels", self._kernels
        for model, config in self.models.items():
            yield from self._of_a_model(model, config)
        if self.families:
            for kind in kinds.KINDS:
                config = TrialConfig(kind=kind, noise_factor=0.45)
                yield f"{kind} {FEW} slots", partial(self._cohort, config, kind, "fast", FEW)

    def _of_a_model(self, model: str, config: TrialConfig) -> Iterator[tuple[str, Check]]:
        compared = min(COMPARED, max(self.slots))
        for precision in get_args(Precision):
            other = config.model_copy(update={"precision": precision})
            yield f"{model} {precision} alone", partial(self._alone, other, model)
            if precision != config.optimiser.precision:
                check = partial(self._cohort, other, f"{model} {precision}", "fast", compared)
                yield f"{model} {precision} {compared} slots", check
        for slots in self.slots:
            yield f"{model} {slots} slots", partial(self._cohort, config, model, "fast", slots)
        for way in WAYS:
            if way != "im2col" or config.model.kind.startswith("conv"):
                check = partial(self._cohort, config, model, way, compared)
                yield f"{model} {way} {compared} slots", check

    def _random_numbers(self, name: str) -> Line:
        """The device's own form of the specification against a CPU's: integers, then functions."""
        here, there = (
            [
                draw(torch.tensor(3, device=device), 2, torch.tensor(7, device=device), NUMBERS)
                for draw in (philox.uniform, philox.normal)
            ]
            for device in (self.device, torch.device("cpu"))
        )
        pairs = zip(here, there, strict=True)
        uniform, normal = (float((mine.cpu() - theirs).abs().max()) for mine, theirs in pairs)
        detail = (
            f"{NUMBERS:,} differ from a CPU's by {uniform:.1g} (uniform), {normal:.1g} (normal)"
        )
        right = uniform == 0 and normal <= TOLERANCE
        return Line(name, "ok" if right else "wrong", detail)

    def _kernels(self, name: str) -> Line:
        trouble = fast.on(self.device).trouble
        return Line(name, "slower" if trouble else "ok", trouble or "as torch's own operations")

    def _alone(self, config: TrialConfig, model: str, name: str) -> Line:
        """A trial's first steps here against a CPU's, and its speed."""
        precision = effective(config.optimiser.precision, self.device)
        if precision != config.optimiser.precision:
            return Line(name, "slower", f"{config.optimiser.precision} is {precision} here")
        here, there = (self._trial(config, device) for device in (self.device, torch.device("cpu")))
        distance = proof.of_trial(here).distance(proof.of_trial(there))
        rate = proof.images_per_s(here)
        status: Status = (
            "ok" if distance <= proof.LIKE_ALONE[config.optimiser.precision] else "wrong"
        )
        detail = f"{rate:,.0f} images/s, {distance:.1e} from a CPU's gradients"
        return Line(name, status, detail, self._as_declared(config, model), "alone", 1, rate)

    def _as_declared(self, config: TrialConfig, model: str) -> str:
        """The model, or nothing for one of its other precisions."""
        return model if config == self.models[model] else ""

    def _trial(self, config: TrialConfig, device: torch.device) -> Member:
        return Member(
            proof.rehearsed(config, 0), noise_data(config), backend="counter", device=device
        )

    def _cohort(self, config: TrialConfig, model: str, way: str, slots: int, name: str) -> Line:
        before, ways = self._allocated(), WAYS.get(way, Ways())
        cohort = Cohort(config, noise_data(config), slots=slots, device=self.device, ways=ways)
        memory = (self._allocated() - before) / slots / 1e6
        reason, notes, trains = cohort.prove(), cohort.notes, cohort.way
        rate = cohort.rehearse(STEPS)
        cohort.disband()
        parts = [f"{rate:,.0f} images/s", f"{memory:.1f} MB a slot", trains, *notes, reason]
        detail = "; ".join(part for part in parts if part)
        return Line(name, _status(reason, notes), detail, model, way, slots, rate, memory)

    def _allocated(self) -> int:
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0

    def _kept(self, name: str, error: Exception) -> str:
        path = self.folder / TRACEBACKS
        with path.open("a") as file:
            file.write(f"{name}\n{''.join(traceback.format_exception(error))}\n")
        return f"{in_one_line(error)} (traceback: {path})"


def _status(reason: str, notes: list[str]) -> Status:
    """Of a cohort with what its proof and its fallbacks say."""
    if reason:
        return "wrong" if "differ" in reason else "failed" if "failed" in reason else "slower"
    return "slower" if notes else "ok"


def noise_data(config: TrialConfig) -> TrialData:
    """Images and labels at random, the same each time, a few batches."""
    generator = torch.Generator().manual_seed(0)
    count = (STEPS + 2) * config.optimiser.batch_size
    shape = (count, *config.model.image_shape)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    train = Split(images, torch.randint(10, (count,), generator=generator))
    return TrialData(train, replace(train, images=images[:256], labels=train.labels[:256]))
