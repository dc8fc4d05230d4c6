"""Random numbers keyed by (trial seed, stream, step), so that nothing else can change them.

A trial draws the same numbers whether it runs alone, beside others in a cohort, or resumes from a
checkpoint: there is no generator state to save, only the step.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import torch
from torch import Tensor

Stream = Literal["init", "shuffle", "noise", "factor", "latent"]
EVALUATION_SEED = 20_240_101  # one fixed seed for the noise of every evaluation, never a trial's


def stream_seed(seed: int, stream: str, step: int) -> int:
    """32 well-mixed bits from (seed, stream, step); torch's CPU generator uses no more."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


class Streams:
    """The random streams of one trial on one device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        self.device = device
        self._generator = torch.Generator(device)

    def generator(self, stream: Stream, step: int) -> torch.Generator:
        """The generator at the start of (stream, step); valid until the next call."""
        return self._generator.manual_seed(stream_seed(self.seed, stream, step))

    def normal(self, stream: Stream, step: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers of `shape`."""
        return torch.randn(shape, generator=self.generator(stream, step), device=self.device)

    def uniform(self, stream: Stream, step: int, shape: tuple[int, ...]) -> Tensor:
        """Numbers uniform in [0, 1) of `shape`."""
        return torch.rand(shape, generator=self.generator(stream, step), device=self.device)

    def permutation(self, epoch: int, n: int) -> Tensor:
        """The order of the `n` training images in `epoch`, int64 `(n,)`."""
        return torch.randperm(n, generator=self.generator("shuffle", epoch), device=self.device)
