"""Likelihoods of the decoder: each turns logits into an image and into nats.

A likelihood is a small frozen object without parameters: `nll` is the loss, `mean` the image.
A new one is one class here and one line in `build`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_trainables.config import ModelConfig


class Likelihood(Protocol):
    """p(x | logits), pixels independent given the logits."""

    def nll(self, logits: Tensor, target: Tensor) -> Tensor:
        """-log p(target | logits) in nats summed over pixels; both (B, C, H, W) -> (B,)."""

    def mean(self, logits: Tensor) -> Tensor:
        """E[x | logits], an image in [0, 1], (B, C, H, W)."""


@dataclass(frozen=True)
class Bernoulli:
    """Binary cross-entropy; grey targets are taken as probabilities (Kingma & Welling 2014).

    For grey targets the lowest possible value is their entropy, not zero.
    """

    def nll(self, logits: Tensor, target: Tensor) -> Tensor:
        """See `Likelihood.nll`."""
        bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return bce.flatten(1).sum(1)

    def mean(self, logits: Tensor) -> Tensor:
        """See `Likelihood.mean`."""
        return torch.sigmoid(logits)


def build(config: ModelConfig) -> Likelihood:
    """The likelihood that `config.likelihood` names."""
    if config.likelihood == "bernoulli":
        return Bernoulli()
    raise ValueError(f"likelihood {config.likelihood!r} is not built yet")
