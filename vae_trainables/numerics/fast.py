"""Whether a device can run the Triton kernels, found by letting it draw a few numbers.

Triton may be missing, or the C compiler that it builds its launcher with (most runtime images have
none), or a driver may be too old for it. Torch's own operations then do the same, slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Protocol

import torch
from torch import Tensor

from vae_trainables.errors import in_one_line
from vae_trainables.numerics import philox

_COUNT, _TOLERANCE = 1000, 2e-6


class Draws(Protocol):
    """Random numbers from (seed, stream, step); the functions of `philox`."""

    def normal(self, seed: Tensor, stream: int, step: Tensor, count: int) -> Tensor: ...

    def uniform(self, seed: Tensor, stream: int, step: Tensor, count: int) -> Tensor: ...


@dataclass(frozen=True)
class Fast:
    """The kernels, or in one line why there are none; empty where none are expected."""

    kernels: ModuleType | None
    trouble: str = ""


@cache
def on(device: torch.device) -> Fast:
    """The kernels that `device` can run, tried once per process."""
    if device.type != "cuda":
        return Fast(None)
    try:
        # Here, since not every torch comes with Triton.
        from vae_trainables.numerics import kernels

        difference = _difference(kernels, device)
    except Exception as error:
        return Fast(None, in_one_line(error))
    if not difference <= _TOLERANCE:  # NaN included
        return Fast(None, f"random numbers differ by {difference:.2g} from torch's own")
    return Fast(kernels)


def draws(device: torch.device) -> Draws:
    """The fastest source of random numbers that `device` can use."""
    source: Draws = on(device).kernels or philox
    return source


def _difference(kernels: ModuleType, device: torch.device) -> float:
    """The largest, of normal and uniform numbers, between the kernels and `philox`."""
    seed = torch.tensor([3, 2**31 - 1], device=device)
    step = torch.tensor([7, 2**32 - 1], device=device)
    return max(
        float((mine(seed, 2, step, _COUNT) - theirs(seed, 2, step, _COUNT)).abs().max())
        for mine, theirs in ((kernels.normal, philox.normal), (kernels.uniform, philox.uniform))
    )
