"""Random numbers keyed by (trial seed, stream, step), so that nothing else can change them.

A trial draws the same numbers whether it runs alone, beside others in a cohort, or resumes from a
checkpoint: there is no generator state to save, only the step.

Two backends. "generator" seeds torch's own generator per (seed, stream, step). "counter" is
`philox`: a captured CUDA graph can advance it by itself, so it is what a GPU uses, by one kernel
for each draw where it can (`fast`).
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from vae_trainables.numerics import fast, philox

Stream = Literal["init", "shuffle", "noise", "factor", "latent", "pixels"]
Backend = Literal["generator", "counter"]
STREAM_NUMBER: dict[Stream, int] = {name: i for i, name in enumerate(get_args(Stream))}
EVALUATION_SEED = 20_240_101  # one fixed seed for the noise of every evaluation, never a trial's


def stream_seed(seed: int, stream: str, step: int) -> int:
    """32 well-mixed bits from (seed, stream, step); torch's CPU generator uses no more."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def default_backend(device: torch.device) -> Backend:
    """What trials on `device` use unless told otherwise."""
    return "counter" if device.type == "cuda" else "generator"


class Streams:
    """The random streams of one trial on one device."""

    def __init__(self, seed: int, device: torch.device, backend: Backend | None = None) -> None:
        self.seed = seed
        self.device = device
        self.backend = backend or default_backend(device)
        self._generator = torch.Generator(device)

    def generator(self, stream: Stream, step: int) -> torch.Generator:
        """The generator at the start of (stream, step); valid until the next call."""
        return self._generator.manual_seed(stream_seed(self.seed, stream, step))

    def normal(self, stream: Stream, step: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers of `shape`."""
        if self.backend == "counter":
            return self._draws.normal(*self._key(stream, step), math.prod(shape)).view(shape)
        return torch.randn(shape, generator=self.generator(stream, step), device=self.device)

    def uniform(self, stream: Stream, step: int, shape: tuple[int, ...]) -> Tensor:
        """Numbers uniform in [0, 1) of `shape`."""
        if self.backend == "counter":
            return self._draws.uniform(*self._key(stream, step), math.prod(shape)).view(shape)
        return torch.rand(shape, generator=self.generator(stream, step), device=self.device)

    def permutation(self, epoch: int, n: int) -> Tensor:
        """The order of the `n` training images in `epoch`, int64 `(n,)`."""
        if self.backend == "counter":
            return philox.permutation(*self._key("shuffle", epoch), n)
        return torch.randperm(n, generator=self.generator("shuffle", epoch), device=self.device)

    def _key(self, stream: Stream, step: int) -> tuple[Tensor, int, Tensor]:
        """Seed, stream and step as `philox` takes them."""
        return self._seed, STREAM_NUMBER[stream], torch.full_like(self._seed, step)

    @cached_property
    def _draws(self) -> fast.Draws:
        return fast.draws(self.device)

    @cached_property
    def _seed(self) -> Tensor:
        return torch.full((), self.seed, device=self.device)
