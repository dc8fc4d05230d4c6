"""The settings in which slots differ, as numbers per slot on the device.

They change at epoch boundaries only, and in place: a captured graph keeps reading them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vae_trainables.config import TrialConfig
from vae_trainables.training.trial import Trial

_VALUES: dict[str, Callable[[TrialConfig], float]] = {
    "noise_factor": lambda config: config.noise_factor,
    "noise_span": lambda config: (
        0.0 if config.noise_factor_max is None else config.noise_factor_max - config.noise_factor
    ),
    "ssim_weight": lambda config: config.ssim_weight,
    "edge_weight": lambda config: config.edge_weight,
    "free_bits": lambda config: config.free_bits,
    "kl_target": lambda config: config.kl_target or 0.0,
    "supcon_gamma": lambda config: config.supcon_gamma,
    "supcon_temperature": lambda config: config.supcon_temperature,
    "weight_decay": lambda config: config.weight_decay,
}
_IN_AN_EMPTY_SLOT = {"supcon_temperature": 1.0}  # divides; all others are 0
_MOVING_BETAS = ("cosine", "sigmoid", "cyclical")  # within an epoch


class SlotVectors:
    """Hyperparameters of K slots, and their schedules over the S steps of one epoch.

    Vectors are float32 like the sums they enter, learning rate and weight decay float64: torch's
    optimizers take them as Python numbers.
    """

    def __init__(self, slots: int, *, latent_dim: int, steps: int, device: torch.device) -> None:
        self.steps = steps
        self._vectors = {
            name: torch.full((slots,), _IN_AN_EMPTY_SLOT.get(name, 0.0), device=device)
            for name in _VALUES
        }
        self._vectors["weight_decay"] = self._vectors["weight_decay"].double()
        self.latent_mask = torch.zeros(slots, latent_dim, device=device)
        """(K, D): 1 for the latent dimensions that a slot's model has."""
        self.beta = torch.zeros(steps, slots, device=device)
        """(S, K): the KL's weight at each step of the epoch."""
        self.lr = torch.zeros(steps, slots, dtype=torch.float64, device=device)
        """(S, K): the learning rate likewise; 0 in an empty slot."""

    def __getitem__(self, name: str) -> Tensor:
        """(K,) of a setting; `noise_span` is noise_factor_max - noise_factor, 0 without a range."""
        return self._vectors[name]

    def fill(self, slot: int, config: TrialConfig, latent_dim: int) -> None:
        """Take over the settings of a slot's configuration."""
        for name, value in _VALUES.items():
            self._vectors[name][slot] = value(config)
        self.latent_mask[slot] = 0
        self.latent_mask[slot, :latent_dim] = 1

    def clear(self, slot: int) -> None:
        """Numbers with which an empty slot computes nothing that is not finite."""
        for name in _VALUES:
            self._vectors[name][slot] = _IN_AN_EMPTY_SLOT.get(name, 0.0)
        self.latent_mask[slot] = 0

    def begin_epoch(self, trials: Mapping[int, Trial]) -> None:
        """Lay out the schedules of the slots' next epochs; empty slots get zeros."""
        beta, lr = torch.zeros(self.beta.shape), torch.zeros(self.lr.shape, dtype=torch.float64)
        for slot, trial in trials.items():
            config = trial.config
            moving = config.warmup_epochs > 0 and config.beta_schedule in _MOVING_BETAS
            first = trial.epoch * self.steps
            beta[:, slot] = self._over_epoch(trial.beta, first, moving)
            lr[:, slot] = self._over_epoch(trial.lr, first, config.lr_schedule == "cosine")
        self.beta.copy_(beta)
        self.lr.copy_(lr)

    def _over_epoch(self, schedule: Callable[[int], float], first: int, moving: bool) -> Tensor:
        """The schedule's values at the epoch's steps; one call where they are all the same."""
        steps = range(first, first + (self.steps if moving else 1))
        return torch.tensor([schedule(step) for step in steps], dtype=torch.float64)
