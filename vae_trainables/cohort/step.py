"""One training step of all slots, from gathering the images to Adam, and an epoch of such steps.

The step reads and writes tensors that stay where they are and never asks for a value, so the same
code runs step by step or, captured once, as a CUDA graph. At these sizes a GPU waits for kernels
to be launched, so what can be one kernel is one: `python -m benchmarks.kernel_count`.
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
from vae_trainables.config import Precision
from vae_trainables.numerics.precision import arithmetic
from vae_trainables.training.trial import Trial


class Timetable:
    """What each step of an epoch takes, by slot: images, labels, learning rate and β.

    Everything lies in one row of 64-bit words per step, so that a step fetches it at once.
    """

    def __init__(self, slots: int, batch_size: int, steps: int, device: torch.device) -> None:
        self.slots, self.batch_size, self.steps = slots, batch_size, steps
        images, halves = slots * batch_size, (slots + 1) // 2  # two float32 per word
        self._widths = [images, images, slots, halves, 1]
        shape = steps, sum(self._widths)
        self._rows = torch.zeros(shape, dtype=torch.int64, device=device)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)

    def lay_out(self, order: Tensor, labels: Tensor, lr: Tensor, beta: Tensor) -> None:
        """Take order, labels int64 (S, K, B), lr float64 (S, K), beta float32 (S, K); start."""
        images, kinds, rates, betas, following = self._rows.split(self._widths, dim=1)
        images.copy_(order.flatten(1))
        kinds.copy_(labels.flatten(1))
        rates.copy_(lr.contiguous().view(torch.int64))
        even = beta.new_zeros(self.steps, 2 * betas.shape[1])
        even[:, : self.slots] = beta
        betas.copy_(even.view(torch.int64))
        order_of_steps = torch.arange(1, self.steps + 1, device=order.device)
        following[:, 0] = order_of_steps.remainder(self.steps)  # a rehearsal may go on for ever
        self._position.zero_()

    def fetch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The present step's images and labels (K * B,), lr and beta (K,); then go to the next."""
        row = self._rows.index_select(0, self._position)[0]
        images, labels, lr, beta, following = row.split(self._widths)
        self._position.copy_(following)
        return images, labels, lr.view(torch.float64), beta.view(torch.float32)[: self.slots]


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
        precision: Precision,
        rounds_once: bool = False,
    ) -> None:
        """rounds_once: bfloat16 weights are made in one pass, where autocast would make them one by
        one and turn their gradients back; for models whose weights are all rounded so.
        """
        self.rounds_once = rounds_once
        self.bank, self.variational, self.precision = bank, variational, precision
        self.forward, self.objective, self.adam = forward, objective, adam
        self.randomness, self.vectors = randomness, vectors
        self.images, self.labels = images, labels
        self.batch_size = batch_size
        slots, steps = bank.slots, len(images) // batch_size
        self.steps = steps
        self.computed = objective.computed
        self._shape = slots, batch_size, *images.shape[1:]
        self._timetable = Timetable(slots, batch_size, steps, images.device)
        self._ones = torch.ones(slots, device=images.device)
        self._totals = torch.zeros(len(objective.computed), slots, device=images.device)

    def begin_epoch(self, trials: Mapping[int, Trial]) -> None:
        """Lay out shuffles, schedules and random streams of the slots' next epochs."""
        orders = self.randomness.begin_epoch(trials, len(self.images))
        slots, batch = self._shape[:2]
        whole = orders[:, : self.steps * batch].view(slots, self.steps, batch).transpose(0, 1)
        self.vectors.begin_epoch(trials)
        self.bank.begin_epoch(trials)
        self._timetable.lay_out(whole, self.labels[whole], self.vectors.lr, self.vectors.beta)
        self._totals.zero_()

    def run(self, count: int) -> None:
        """So many steps."""
        for _ in range(count):
            self.step()

    def step(self) -> None:
        """Train every slot on its next batch, in the configuration's precision."""
        with arithmetic(self.precision, self.images.device):
            self._step()

    def _step(self) -> None:
        batch, kinds, lr, beta = self._timetable.fetch()
        labels = kinds.view(self._shape[:2])
        # As `evaluator.as_float`, in one kernel.
        grey = (self.images.index_select(0, batch) * (1 / 255)).view(self._shape)
        clean = self.randomness.clean(grey)
        eps = self.randomness.latent(self.batch_size) if self.variational else None
        weights = self.bank.rounded() if self.rounds_once else self.bank.parameters
        tensors = {**weights, **self.bank.buffers}
        output = self.forward(tensors, self.randomness.noisy(clean), eps, labels)
        terms = self.objective(output, clean, labels, beta)
        # Ones: each slot's gradient is that of its own loss, summed over slots, never averaged.
        gradients = torch.autograd.grad(terms.loss, list(weights.values()), self._ones)
        self.adam.step(list(gradients), lr, self.vectors["weight_decay"])
        shown = [terms.loss.detach(), *terms.values.values()]
        torch._foreach_add_(list(self._totals.unbind()), shown)
        self.randomness.advance()
        self.bank.advance()

    def means(self) -> list[dict[str, float]]:
        """Per slot the epoch's mean of what is `computed`; here the host waits for the device."""
        rows = (self._totals.T / self.steps).tolist()
        return [dict(zip(self.computed, row, strict=True)) for row in rows]
