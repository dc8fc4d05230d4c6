"""Whether a cohort's steps are a trial's own: both train a few, and their traces are compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_trainables.cohort.bank import Bank
from vae_trainables.cohort.capture import SEVERAL
from vae_trainables.cohort.member import Member
from vae_trainables.cohort.step import LockStep
from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.config import TrialConfig

STEPS = SEVERAL + 1  # one of each graph; random numbers, schedules and Adam move on
TIMED_STEPS = 20
SAME = 1e-3
"""How far a captured step may be from the same step un-captured, where sums differ in order."""
LIKE_ALONE = {"fp32": 0.02, "tf32": 0.02, "bf16": 0.1}
"""How far stacked steps may be from a trial's own: other kernels, that round products otherwise."""
WORTH = 0.9  # of the images per second alone, below which a cohort is given up


@dataclass(frozen=True)
class Trace:
    """What a trial's first steps leave."""

    terms: Tensor
    """The mean loss terms that the trial computes."""
    gradient: Tensor
    """(n,): Adam's running mean of all gradients."""

    def distance(self, other: Trace) -> float:
        """The larger relative difference: infinite where one is not finite, 0 where neither is."""
        pairs = (self.terms, other.terms), (self.gradient, other.gradient)
        return max(_relative(mine.double(), theirs.double()) for mine, theirs in pairs)


def _relative(mine: Tensor, theirs: Tensor) -> float:
    if not mine.isfinite().all() and not theirs.isfinite().all():
        return 0.0  # who diverges alone does so stacked
    distance = (mine - theirs).norm() / theirs.norm().clamp_min(1e-30)
    return float(distance) if distance.isfinite() else float("inf")


def rehearsed(config: TrialConfig, slot: int) -> TrialConfig:
    """The configuration of a slot's trial: tame, and with the KL's weight from the first step."""
    steady = {"lr": 1e-3, "beta": 1.0, "warmup_epochs": 0, "lineage": ()}
    return config.model_copy(update={"seed": slot, **steady})


def together(
    trials: Mapping[int, Member],
    train: Callable[[int], None],
    lock_step: LockStep,
    bank: Bank,
    vectors: SlotVectors,
) -> dict[int, Trace]:
    """Traces of fresh `trials` in their slots, left vacant; train: steps of `lock_step`."""
    for slot, trial in trials.items():
        bank.load(slot, trial.model, trial.optimizer.state)
        vectors.fill(slot, trial.now, trial.noise_dim)
    lock_step.begin_epoch(trials)
    train(min(STEPS, lock_step.steps))
    means = lock_step.means()
    traces = {
        slot: Trace(
            torch.tensor([means[slot][name] for name in trial.loss.computed]),
            bank.exp_avg[slot].clone(),
        )
        for slot, trial in trials.items()
    }
    for slot in trials:
        bank.clear(slot)
        vectors.clear(slot)
    return traces


def of_trial(trial: Member) -> Trace:
    """The trace of a fresh trial by its own steps, on the CPU."""
    total = _train(trial, range(min(STEPS, trial.steps_per_epoch)))
    states = [trial.optimizer.state[parameter] for parameter in trial.model.parameters()]
    gradient = torch.cat([state["exp_avg"].flatten() for state in states])
    return Trace((total / trial.steps_per_epoch).cpu(), gradient.cpu())


def alone(trial: Member, slot: int, bank: Bank) -> Trace:
    """The trace of the same trial by its own steps; `slot` of the bank must be vacant."""
    total = _train(trial, range(min(STEPS, trial.steps_per_epoch)))
    bank.load(slot, trial.model, trial.optimizer.state)
    gradient = bank.exp_avg[slot].clone()
    bank.clear(slot)
    return Trace((total / trial.steps_per_epoch).cpu(), gradient)


def images_per_s(trial: Member) -> float:
    """How fast the trial trains by its own steps, once these have warmed up."""
    steps = min(TIMED_STEPS, trial.steps_per_epoch)
    _train(trial, range(min(STEPS, steps))).tolist()
    started = time.perf_counter()
    _train(trial, range(steps)).tolist()  # waits for the device
    return steps * trial.batch_size / (time.perf_counter() - started)


def _train(trial: Member, steps: range) -> Tensor:
    trial.model.train()
    order, size = trial.streams.permutation(0, len(trial.images)), trial.batch_size
    total = torch.zeros(len(trial.loss.computed), device=trial.device)
    for i in steps:
        total += trial._train_step(i, order[i * size : (i + 1) * size])
    return total
