"""The random numbers of K slots: each slot draws what its trial would draw alone.

`KeyedRandomness` asks every trial's own `Streams`, slot by slot, as suits a CPU.
`CounterRandomness` computes all slots' numbers at once from seeds and steps on the device, so that
a CUDA graph draws fresh ones on each replay; trials alone need the streams' "counter" backend.
`KernelRandomness` is the same in one kernel for the noise and one for the latents, in place of some
two hundred each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.config import TrialConfig
from vae_trainables.datasets import binarising, noise
from vae_trainables.numerics import philox
from vae_trainables.numerics.fast import Draws
from vae_trainables.numerics.streams import STREAM_NUMBER, Stream
from vae_trainables.training.trial import Trial, add_noise, binarised


class Randomness(Protocol):
    """Shuffles, and the noise of the present step; every step ends with `advance`."""

    def begin_epoch(self, trials: Mapping[int, Trial], images: int) -> Tensor:
        """Go to the first step of the slots' next epochs; their orders of images, (K, images)."""

    def clean(self, grey: Tensor) -> Tensor:
        """What is to be reconstructed of grey images (K, B, C, H, W)."""

    def noisy(self, clean: Tensor) -> Tensor:
        """The training input for clean images (K, B, C, H, W)."""

    def latent(self, batch: int) -> Tensor:
        """Standard normal (K, batch, D), exactly 0 in padding."""

    def advance(self) -> None:
        """Go to the next step."""


class KeyedRandomness:
    """Slot by slot by each trial's own means, of whichever backend its streams are."""

    def __init__(self, latent_mask: Tensor) -> None:
        """latent_mask: (K, D), for its shape and device."""
        self._latent_mask = latent_mask
        self._trials: dict[int, Trial] = {}
        self._step = 0

    def begin_epoch(self, trials: Mapping[int, Trial], images: int) -> Tensor:
        self._trials, self._step = dict(trials), 0
        anyhow = torch.arange(images, device=self._latent_mask.device)
        rows = [anyhow] * len(self._latent_mask)
        for slot, trial in trials.items():
            rows[slot] = trial.streams.permutation(trial.epoch, images)
        return torch.stack(rows)

    def clean(self, grey: Tensor) -> Tensor:
        if all(trial.config.data.binarise != "dynamic" for trial in self._trials.values()):
            return grey
        rows = list(grey.unbind(0))
        for slot, trial in self._trials.items():
            rows[slot] = binarised(rows[slot], trial.now, trial.streams, self._of(trial))
        return torch.stack(rows)

    def noisy(self, clean: Tensor) -> Tensor:
        rows = list(clean.unbind(0))
        for slot, trial in self._trials.items():
            rows[slot] = add_noise(rows[slot], trial.now, trial.streams, self._of(trial))
        return torch.stack(rows)

    def latent(self, batch: int) -> Tensor:
        slots, latent_dim = self._latent_mask.shape
        rows = [self._latent_mask.new_zeros(batch, latent_dim)] * slots
        for slot, trial in self._trials.items():
            width = trial.noise_dim
            eps = trial.streams.normal("latent", self._of(trial), (batch, width))
            rows[slot] = F.pad(eps, (0, latent_dim - width))
        return torch.stack(rows)

    def advance(self) -> None:
        self._step += 1

    def _of(self, trial: Trial) -> int:
        """The present step, counted over all of a trial's epochs."""
        return trial.epoch * trial.steps_per_epoch + self._step


class CounterRandomness:
    """All slots at once by `philox`, from numbers on the device alone."""

    def __init__(
        self,
        config: TrialConfig,
        terms: frozenset[str],
        vectors: SlotVectors,
        draws: Draws = philox,
    ) -> None:
        """config, terms: what all slots share."""
        self.kind, self.terms, self.vectors, self.draws = config.noise.kind, terms, vectors, draws
        self._draws_pixels = config.data.binarise == "dynamic"
        mask = vectors.latent_mask
        self._seeds = torch.zeros(len(mask), dtype=torch.int64, device=mask.device)
        self._steps = torch.zeros_like(self._seeds)

    def begin_epoch(self, trials: Mapping[int, Trial], images: int) -> Tensor:
        keys = torch.zeros(3, len(self._seeds), dtype=torch.int64)
        for slot, trial in trials.items():
            keys[0, slot] = trial.config.seed
            keys[1, slot] = trial.epoch
            keys[2, slot] = trial.epoch * trial.steps_per_epoch
        seeds, epochs, steps = keys.to(self._seeds.device)
        self._seeds.copy_(seeds)
        self._steps.copy_(steps)
        return philox.permutation(seeds, STREAM_NUMBER["shuffle"], epochs, images)

    def clean(self, grey: Tensor) -> Tensor:
        if not self._draws_pixels:
            return grey
        rand = self.draws.uniform(*self._key("pixels"), math.prod(grey.shape[1:]))
        return binarising.sampled(grey, rand.view(grey.shape))

    def noisy(self, clean: Tensor) -> Tensor:
        if "noise" not in self.terms:
            return clean
        factor = self.vectors["noise_factor"].unsqueeze(1).expand(clean.shape[:2])
        if "noise_range" in self.terms:
            share = self.draws.uniform(*self._key("factor"), clean.shape[1])
            factor = factor + self.vectors["noise_span"].unsqueeze(1) * share
        normal = noise.random_kind(self.kind) == "normal"
        draw = self.draws.normal if normal else self.draws.uniform
        rand = draw(*self._key("noise"), math.prod(clean.shape[1:]))
        images = clean.flatten(0, 1)
        noisy = noise.corrupt(
            self.kind, images, factor.reshape(-1, 1, 1, 1), rand.view(images.shape)
        )
        return noisy.view(clean.shape)

    def latent(self, batch: int) -> Tensor:
        mask = self.vectors.latent_mask
        slots, latent_dim = mask.shape
        drawn = self.draws.normal(*self._key("latent"), batch * latent_dim)
        # Alone, a trial's numbers lie in rows of its own width.
        width = mask.sum(1).long().view(slots, 1, 1)
        row = torch.arange(batch, device=mask.device).view(1, batch, 1)
        column = torch.arange(latent_dim, device=mask.device).view(1, 1, latent_dim)
        place = (row * width + column).clamp_(max=batch * latent_dim - 1)
        eps = drawn.gather(1, place.flatten(1)).view(slots, batch, latent_dim)
        return eps * mask.unsqueeze(1)

    def advance(self) -> None:
        self._steps.add_(1)

    def _key(self, stream: Stream) -> tuple[Tensor, int, Tensor]:
        """Seeds, stream and present steps as `philox` takes them."""
        return self._seeds, STREAM_NUMBER[stream], self._steps


class KernelRandomness(CounterRandomness):
    """The numbers of `CounterRandomness`, written by Triton kernels to where they are used."""

    def __init__(
        self,
        config: TrialConfig,
        terms: frozenset[str],
        vectors: SlotVectors,
        kernels: ModuleType,
    ) -> None:
        """kernels: `numerics.kernels`, which not every machine can import."""
        super().__init__(config, terms, vectors, kernels)
        self.kernels = kernels
        self._widths = torch.zeros_like(self._seeds)

    def begin_epoch(self, trials: Mapping[int, Trial], images: int) -> Tensor:
        self._widths.copy_(self.vectors.latent_mask.sum(1))
        return super().begin_epoch(trials, images)

    def noisy(self, clean: Tensor) -> Tensor:
        if "noise" not in self.terms or self.kind not in self.kernels.NOISE_KINDS:
            return super().noisy(clean)
        spans = self.vectors["noise_span"] if "noise_range" in self.terms else None
        noisy: Tensor = self.kernels.corrupted(
            self.kind,
            clean,
            (self._seeds, self._steps),
            (STREAM_NUMBER["noise"], STREAM_NUMBER["factor"]),
            self.vectors["noise_factor"],
            spans,
        )
        return noisy

    def latent(self, batch: int) -> Tensor:
        shape = batch, self.vectors.latent_mask.shape[1]
        eps: Tensor = self.kernels.normal_rows(*self._key("latent"), self._widths, shape)
        return eps
