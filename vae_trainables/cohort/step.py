"""One training step of all slots, from gathering the images to Adam, and an epoch of such steps.

The step reads and writes tensors that stay where they are and never asks for a value, so the same
code runs step by step or, captured once, as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vae_trainables.cohort.adam import StackedAdam
from vae_trainables.cohort.bank import Bank
from vae_trainables.cohort.models import Forward
from vae_trainables.cohort.objective import StackedObjective
from vae_trainables.cohort.randomness import Randomness
from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.evaluation.evaluator import as_float
from vae_trainables.training.trial import Trial


class LockStep:
    """The slots' common training step on `images` uint8 (N, C, H, W) and `labels` (N,)."""

    def __init__(
        self,
        *,
        bank: Bank,
        forward: Forward,
        objective: StackedObjective,
        randomness: Randomness,
        adam: StackedAdam,
        vectors: SlotVectors,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        variational: bool,
    ) -> None:
        self.variational = variational
        self.bank = bank
        self.forward, self.objective, self.adam = forward, objective, adam
        self.randomness, self.vectors = randomness, vectors
        self.images, self.labels = images, labels
        self._tensors, self._weights = bank.tensors, list(bank.parameters.values())
        self.batch_size = batch_size
        slots, steps = bank.slots, len(images) // batch_size
        self.steps = steps
        self.logged = objective.logged
        self._order = torch.zeros(steps, slots, batch_size, dtype=torch.int64, device=images.device)
        self._position = torch.zeros(1, dtype=torch.int64, device=images.device)
        self._totals = torch.zeros(slots, len(objective.logged), device=images.device)

    def begin_epoch(self, trials: Mapping[int, Trial]) -> None:
        """Lay out shuffles, schedules and random streams of the slots' next epochs."""
        orders = self.randomness.begin_epoch(trials, len(self.images))
        steps, slots, batch = self._order.shape
        whole = orders[:, : steps * batch].view(slots, steps, batch)
        self._order.copy_(whole.transpose(0, 1))
        self.vectors.begin_epoch(trials)
        self.bank.begin_epoch(trials)
        self._position.zero_()
        self._totals.zero_()

    def step(self) -> None:
        """Train every slot on its next batch."""
        batch = self._order.index_select(0, self._position)[0]
        clean, labels = as_float(_gather(self.images, batch)), _gather(self.labels, batch)
        eps = self.randomness.latent(batch.shape[1]) if self.variational else None
        output = self.forward(self._tensors, self.randomness.noisy(clean), eps, labels)
        beta = self.vectors.beta.index_select(0, self._position)[0]
        terms = self.objective(output, clean, labels, beta)
        # Summed over slots, never averaged: each slot's gradient is that of its own loss.
        gradients = torch.autograd.grad(terms.loss.sum(), self._weights)
        lr = self.vectors.lr.index_select(0, self._position)[0]
        self.adam.step(list(gradients), lr, self.vectors["weight_decay"])
        self._totals.add_(terms.shown())
        self._position.add_(1).remainder_(self.steps)  # a rehearsal may go on for ever
        self.randomness.advance()
        self.bank.advance()

    def means(self) -> list[list[float]]:
        """Per slot the epoch's mean of what `logged` names; here the host waits for the device."""
        means: list[list[float]] = (self._totals / self.steps).tolist()
        return means


def _gather(values: Tensor, batch: Tensor) -> Tensor:
    """values (N, ...) at batch (K, B) -> (K, B, ...)."""
    return values.index_select(0, batch.flatten()).view(*batch.shape, *values.shape[1:])
