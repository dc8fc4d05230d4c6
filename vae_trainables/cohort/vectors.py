"""The settings in which slots differ, as numbers per slot on the device.

They change at epoch boundaries only, and in place: a captured graph keeps reading them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from vae_trainables.config import LikelihoodKind, TrialConfig
from vae_trainables.objective import terms
from vae_trainables.objective.terms import Of
from vae_trainables.training import schedules
from vae_trainables.training.trial import Trial

_NOISE: dict[str, Of] = {
    "noise_factor": lambda config: config.noise.factor,
    "noise_span": lambda config: (
        0.0 if config.noise.factor_max is None else config.noise.factor_max - config.noise.factor
    ),
}


@dataclass(frozen=True)
class _Number:
    """A setting as a vector: where it comes from, and what it is in an empty slot."""

    of: Of
    empty: float = 0.0


def _numbers(names: Collection[str]) -> dict[str, _Number]:
    """The vectors that a step with these `fusion.loss_names` reads."""
    numbers = {name: _Number(of) for name, of in _NOISE.items()}
    loss_terms = terms.chosen(names)
    alone = sum(term.exclusive for term in loss_terms) == 1
    for term in loss_terms:
        if not (term.exclusive and alone):  # else it has weight 1 in every slot
            numbers[f"weight/{term.name}"] = _Number(term.weight)
        for setting in term.settings:
            if setting.name in names:
                numbers[f"setting/{setting.name}"] = _Number(setting.of, setting.neutral)
    for kind in get_args(LikelihoodKind):
        if f"likelihood/{kind}" in names:
            numbers[f"likelihood/{kind}"] = _Number(partial(_has_likelihood, kind))
    if "likelihood/gaussian" in names:
        numbers["likelihood/gaussian_std"] = _Number(lambda config: config.model.gaussian_std, 1.0)
    return numbers


def _has_likelihood(kind: str, config: TrialConfig) -> float:
    return float(config.model.likelihood == kind)


class SlotVectors:
    """Hyperparameters of K slots, and their schedules over the S steps of one epoch.

    Vectors are float32 like the sums they enter, learning rate and weight decay float64: torch's
    optimizers take them as Python numbers.
    """

    def __init__(
        self,
        slots: int,
        *,
        latent_dim: int,
        steps: int,
        device: torch.device,
        names: Collection[str] = (),
    ) -> None:
        """names: the parts of the loss that a slot may have, see `fusion.loss_names`."""
        self.steps, self.names = steps, frozenset(names)
        self._numbers = _numbers(self.names)
        self._vectors = {
            name: torch.full((slots,), number.empty, device=device)
            for name, number in self._numbers.items()
        }
        self._vectors["weight_decay"] = torch.zeros(slots, dtype=torch.float64, device=device)
        self.neutral = {s.name: s.neutral for t in terms.chosen(self.names) for s in t.settings}
        """Settings of the loss that no slot sets, beside those that are vectors."""
        self.latent_mask = torch.zeros(slots, latent_dim, device=device)
        """(K, D): 1 for the latent dimensions that a slot's model has."""
        self.beta = torch.zeros(steps, slots, device=device)
        """(S, K): the KL's weight at each step of the epoch."""
        self.lr = torch.zeros(steps, slots, dtype=torch.float64, device=device)
        """(S, K): the learning rate likewise; 0 in an empty slot."""

    def __getitem__(self, name: str) -> Tensor:
        """(K,) of a setting; `noise_span` is noise_factor_max - noise_factor, 0 without a range."""
        return self._vectors[name]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The vectors called `prefix/NAME`, by NAME."""
        return {
            name.removeprefix(f"{prefix}/"): vector
            for name, vector in self._vectors.items()
            if name.startswith(f"{prefix}/")
        }

    def fill(self, slot: int, config: TrialConfig, latent_dim: int) -> None:
        """Take over the settings that hold in a slot."""
        for name, number in self._numbers.items():
            self._vectors[name][slot] = number.of(config)
        self._vectors["weight_decay"][slot] = config.optimiser.weight_decay
        self.latent_mask[slot] = 0
        self.latent_mask[slot, :latent_dim] = 1

    def clear(self, slot: int) -> None:
        """Numbers with which an empty slot computes nothing that is not finite."""
        for name, number in self._numbers.items():
            self._vectors[name][slot] = number.empty
        self._vectors["weight_decay"][slot] = 0
        self.latent_mask[slot] = 0

    def begin_epoch(self, trials: Mapping[int, Trial]) -> None:
        """Lay out the schedules of the slots' next epochs; empty slots get zeros."""
        beta, lr = torch.zeros(self.beta.shape), torch.zeros(self.lr.shape, dtype=torch.float64)
        for slot, trial in trials.items():
            if trial.take_up():
                self.fill(slot, trial.now, trial.noise_dim)
            config = trial.now
            moving = schedules.moves_within_epochs(config.objective)
            first = trial.epoch * self.steps
            beta[:, slot] = self._over_epoch(trial.beta, first, moving)
            lr[:, slot] = self._over_epoch(
                trial.lr, first, config.optimiser.lr_schedule == "cosine"
            )
        self.beta.copy_(beta)
        self.lr.copy_(lr)

    def _over_epoch(self, schedule: Callable[[int], float], first: int, moving: bool) -> Tensor:
        """The schedule's values at the epoch's steps; one call where they are all the same."""
        steps = range(first, first + (self.steps if moving else 1))
        return torch.tensor([schedule(step) for step in steps], dtype=torch.float64)
