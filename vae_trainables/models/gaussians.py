"""Diagonal gaussians: the densities and divergences that latent variables need."""

from __future__ import annotations

import math
from typing import Any

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


def sampled(mean: Tensor, logvar: Tensor, eps: Tensor | None) -> tuple[Tensor, Tensor]:
    """`reparameterize` and `kl_divergence` of one posterior."""
    if eps is None or mean.device.type == "cpu":
        return reparameterize(mean, logvar, eps), kl_divergence(mean, logvar)
    z, kl, *_ = _Sampled.apply(mean, logvar, eps)
    return z, kl


class _Sampled(torch.autograd.Function):
    """Both at once, with 4 kernels backward in place of 14: a GPU waits for launches here."""

    generate_vmap_rule = True

    @staticmethod
    def forward(mean: Tensor, logvar: Tensor, eps: Tensor) -> tuple[Tensor, ...]:
        spread = torch.exp(0.5 * logvar) * eps
        excess = torch.expm1(logvar)
        kl = 0.5 * torch.addcmul(excess - logvar, mean, mean)
        return mean + spread, kl, spread, excess

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, _, spread, excess = output
        ctx.mark_non_differentiable(spread, excess)
        ctx.set_materialize_grads(False)  # else zeros are made for the two that have no gradient
        ctx.save_for_backward(inputs[0], spread, excess)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, Tensor, None]:
        of_z, of_kl, *_ = gradients
        mean, spread, excess = ctx.saved_tensors
        of_z = torch.zeros_like(mean) if of_z is None else of_z
        of_kl = torch.zeros_like(mean) if of_kl is None else of_kl
        of_logvar = 0.5 * torch.addcmul(of_z * spread, of_kl, excess)
        return torch.addcmul(of_z, of_kl, mean), of_logvar, None
