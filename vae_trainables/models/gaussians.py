"""Diagonal gaussians: the densities and divergences that latent variables need."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kl_divergence(z_mean: Tensor, z_logvar: Tensor) -> Tensor:
    """KL(N(z_mean, exp(z_logvar)) || N(0, 1)) in nats per dimension, any equal shapes.

    Kingma & Welling 2014, appendix B. expm1 keeps the value's digits near 0.
    """
    return 0.5 * (z_mean.square() + torch.expm1(z_logvar) - z_logvar)


def log_density(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """log N(z; mean, exp(logvar)) in nats, summed over the dimensions; (B, D) thrice -> (B,)."""
    nats = (z - mean).square() * torch.exp(-logvar) + logvar + math.log(2.0 * math.pi)
    return -0.5 * nats.sum(1)


def reparameterize(mean: Tensor, logvar: Tensor, eps: Tensor | None) -> Tensor:
    """mean + std * eps, or the mean without `eps` (Kingma & Welling 2014, section 2.4)."""
    return mean if eps is None else torch.addcmul(mean, torch.exp(0.5 * logvar), eps)
