"""What baselines learn from, and what they become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from vae_trainables import metrics

LEAST_IMAGES = 2  # of training, for a covariance
TUNING_IMAGES = 200  # training images that choose the parameters of tv, nlm and lookup
CHUNK = 5_000  # images whose products are added up at once

T = TypeVar("T")


@dataclass(frozen=True)
class Training:
    """What a baseline may learn from: the same training images clean and noisy.

    Attributes:
        clean: uint8 `(N, C, H, W)`.
        noisy: float32 `(N, C, H, W)` in [0, 1], with the noise of the evaluation but draws of its
            own.
    """

    clean: Tensor
    noisy: Tensor
    _made: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.clean.dtype != torch.uint8 or self.clean.ndim != 4:
            raise ValueError(
                "training images must be uint8 (N, C, H, W), got "
                f"{self.clean.dtype} {tuple(self.clean.shape)}"
            )
        if self.noisy.shape != self.clean.shape or self.noisy.dtype != torch.float32:
            raise ValueError(
                f"noisy training images must be float32 {tuple(self.clean.shape)}, got "
                f"{self.noisy.dtype} {tuple(self.noisy.shape)}"
            )
        if len(self.clean) < LEAST_IMAGES:
            raise ValueError(
                f"baselines need at least {LEAST_IMAGES} training images, got {len(self.clean)}"
            )

    def __len__(self) -> int:
        return len(self.clean)

    def once(self, fit: Callable[[Training], T]) -> T:
        """What `fit` makes of these images, made once: of 3,072 pixels a covariance takes seconds.

        fit: by its own name, not made on the spot.
        """
        if fit not in self._made:
            self._made[fit] = fit(self)
        made: T = self._made[fit]
        return made


Denoiser = Callable[[Tensor], Tensor]
"""Noisy images `(n, C, H, W)` to denoised ones in [0, 1], one by one."""


@dataclass(frozen=True)
class Fitted:
    """A baseline ready to denoise, and the parameters that were set or chosen."""

    denoise: Denoiser
    parameters: dict[str, float]


def channel(training: Training) -> tuple[Tensor, float]:
    """What the noise makes of a grey level on average, float64 `(256,)`, and the variance left.

    The variance is at least that of half a grey level: without noise nobody has to divide by 0.
    """
    count, total, squares = torch.zeros(3, 256, dtype=torch.float64)
    parts = zip(torch.split(training.clean, CHUNK), torch.split(training.noisy, CHUNK), strict=True)
    for clean, noisy in parts:
        levels, values = clean.flatten().int(), noisy.flatten().double()
        count += torch.bincount(levels, minlength=256)
        total += torch.bincount(levels, values, minlength=256)
        squares += torch.bincount(levels, values.square(), minlength=256)
    mean = total / count.clamp_min(1)
    variance = float((squares - total * mean).sum() / count.sum())
    return mean, max(variance, (0.5 / 255) ** 2)


def tuning_indices(training: Training) -> Tensor:
    """`TUNING_IMAGES` training images at equal distances, so that sorted sets give all classes."""
    count = min(TUNING_IMAGES, len(training))
    return torch.arange(count) * len(training) // count


def mean_psnr(denoised: Tensor, clean: Tensor) -> float:
    return float(metrics.psnr(denoised, clean).double().mean())
