"""Terms of the training loss, and `objective`, which adds them up as a TrialConfig says.

Convention: summed over pixels or latent dimensions, averaged over images (nats per image).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from vae_trainables import metrics
from vae_trainables.config import TrialConfig
from vae_trainables.objective import likelihoods
from vae_trainables.objective.likelihoods import Likelihood

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
    likelihood = likelihoods.build(config)
    nll = likelihood.nll(output.logits, clean).mean()
    loss = _reconstruction(nll, output.logits, clean, likelihood, config)
    if config.variational:
        penalty = kl_penalty(output.kl, free_bits=config.free_bits, target=config.kl_target)
        loss = loss + beta * penalty
    contrast = nll.new_zeros(())
    if config.supcon_gamma > 0:
        contrast = supcon(output.z_mean, labels, config.supcon_temperature)
        loss = loss + config.supcon_gamma * contrast
    recon, kl = nll.detach(), output.kl.detach().sum(1).mean()
    return LossTerms(loss, recon, kl, contrast.detach(), recon + kl)


def _reconstruction(
    nll: Tensor, logits: Tensor, clean: Tensor, likelihood: Likelihood, config: TrialConfig
) -> Tensor:
    """What pulls the reconstruction towards `clean`; a scalar, mean over images."""
    if config.recon_term == "nll" and not (config.ssim_weight or config.edge_weight):
        return nll
    image = likelihood.mean(logits)
    term = nll
    if config.recon_term != "nll":
        term = _PIXEL_ERRORS[config.recon_term](image, clean).mean()
    if config.ssim_weight > 0:
        term = term + config.ssim_weight * (1.0 - metrics.ssim(image, clean).mean())
    if config.edge_weight > 0:
        term = term + config.edge_weight * edge_error(image, clean).mean()
    return term


def squared_error(image: Tensor, clean: Tensor) -> Tensor:
    """Squared error summed over pixels, (B, C, H, W) twice -> (B,)."""
    return (image - clean).square().flatten(1).sum(1)


def absolute_error(image: Tensor, clean: Tensor) -> Tensor:
    """Absolute error (L1) summed over pixels, (B, C, H, W) twice -> (B,)."""
    return (image - clean).abs().flatten(1).sum(1)


def edge_error(image: Tensor, clean: Tensor) -> Tensor:
    """L1 distance of the images' gradients, summed; (B, C, H, W) twice -> (B,).

    Gradients are differences of neighbouring pixels, across and down (cf. the gradient difference
    loss of Mathieu, Couprie & LeCun 2016): blur costs where the clean image has an edge.
    """
    error = image - clean
    across, down = error.diff(dim=3), error.diff(dim=2)
    return across.abs().flatten(1).sum(1) + down.abs().flatten(1).sum(1)


_PIXEL_ERRORS = {"mse": squared_error, "l1": absolute_error}


def kl_penalty(kl: Tensor, *, free_bits: float = 0.0, target: float | None = None) -> Tensor:
    """What beta multiplies, a scalar in nats per image, of kl (B, D) per dimension.

    Plainly the KL summed over dimensions, averaged over images.
    free_bits: each dimension's mean over the batch counts as at least that many nats, so that
    keeping it informative is free (Kingma et al. 2016, one dimension per group).
    target: the distance |KL - target| in place of the KL (Burgess et al. 2018), taken of
    the batch mean and after free bits.
    """
    per_dimension = kl.mean(0)
    if free_bits > 0:
        per_dimension = per_dimension.clamp(min=free_bits)
    total = per_dimension.sum()
    return total if target is None else (total - target).abs()


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
