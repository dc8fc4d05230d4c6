"""Terms of the training loss, and `objective`, which adds them up as a TrialConfig says.

Convention: summed over pixels or latent dimensions, averaged over images (nats per image).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from vae_trainables import likelihoods
from vae_trainables.config import TrialConfig

if TYPE_CHECKING:  # models compute their KL with this module: at run time the arrow points here
    from vae_trainables.models import ModelOutput

_SMALLEST_NORM = 1e-6


class LossTerms(NamedTuple):
    """Scalars, means over the images of a batch. Only `loss` carries a graph to differentiate."""

    loss: Tensor
    """What is minimised, every weight applied."""
    recon: Tensor
    """The likelihood's negative log-likelihood, nats per image, whatever `recon_term` is."""
    kl: Tensor
    """KL to the prior, nats per image, without beta, free bits or target."""
    supcon: Tensor
    """SupCon without gamma; 0 when gamma is 0, for then it is not computed."""
    neg_elbo: Tensor
    """recon + kl: the unweighted -ELBO, which no schedule moves."""


def objective(
    output: ModelOutput, clean: Tensor, labels: Tensor, config: TrialConfig, beta: float | Tensor
) -> LossTerms:
    """The weighted training loss of one batch and the terms worth logging.

    Args:
        output: of the model, whose input may have been noisy.
        clean: (B, C, H, W) in [0, 1], what is to be reconstructed.
        labels: (B,) int64, for SupCon.
        config: the weights; a term whose weight is 0 is not computed.
        beta: the KL's present weight, from `schedules.beta`; a tensor in a captured step.
    """
    nll = likelihoods.build(config).nll(output.logits, clean).mean()
    kl_per_dim = output.kl.mean(0)
    kl = kl_per_dim.sum()
    loss = nll + beta * kl if config.variational else nll
    contrast = torch.zeros_like(nll)
    if config.supcon_gamma > 0:
        contrast = supcon(output.z_mean, labels, config.supcon_temperature)
        loss = loss + config.supcon_gamma * contrast
    recon, kl = nll.detach(), kl.detach()
    return LossTerms(loss, recon, kl, contrast.detach(), recon + kl)


def kl_divergence(z_mean: Tensor, z_logvar: Tensor) -> Tensor:
    """KL(N(z_mean, exp(z_logvar)) || N(0, 1)) in nats per dimension, any equal shapes.

    Kingma & Welling 2014, appendix B. expm1 keeps the value's digits near 0.
    """
    return 0.5 * (z_mean.square() + torch.expm1(z_logvar) - z_logvar)


def supcon(z: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss L_out (Khosla et al. 2020, eq. 2) on L2-normalised codes.

    z (B, D), labels (B,) -> scalar: the mean over anchors that have a positive, a sample of the
    same class other than themselves. Without any such anchor it is exactly 0. A zero vector has
    no direction: its similarity to all others is 0, and it receives no gradient.
    """
    u = _directions(z)
    similarity = u @ u.T / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    others = similarity.masked_fill(itself, torch.finfo(z.dtype).min)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    count = positive.sum(1)
    pull = (similarity * positive).sum(1) / count.clamp(min=1)
    loss = torch.where(count > 0, others.logsumexp(1) - pull, 0.0)
    return loss.sum() / (count > 0).sum().clamp(min=1)


def _directions(z: Tensor) -> Tensor:
    """Rows of z (B, D) scaled to length 1; rows that are all but zero become exactly zero.

    The inner `where` keeps 0 ** -0.5 out of the graph: infinity times 0 would be NaN.
    """
    square = z.square().sum(1, keepdim=True)
    usable = square > _SMALLEST_NORM**2
    return z * torch.where(usable, torch.where(usable, square, 1.0).rsqrt(), 0.0)
