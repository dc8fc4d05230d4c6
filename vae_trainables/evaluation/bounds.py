"""Bounds on log p(x) tighter than the ELBO."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_trainables.models import Autoencoder
from vae_trainables.objective.likelihoods import Likelihood


class Bounds(NamedTuple):
    """Of -log p(x), nats per image, from the same samples: each `(B,)`."""

    iw_nll: Tensor
    """By the mean weight of the samples."""
    neg_elbo: Tensor
    """By the mean logarithm of the weights: never below `iw_nll`."""


def importance_weighted_nll(
    model: Autoencoder,
    likelihood: Likelihood,
    images: Tensor,
    *,
    k: int,
    generator: torch.Generator,
    inputs: Tensor | None = None,
    labels: Tensor | None = None,
    rows: int = 4096,
) -> Bounds:
    """Estimate of -log p(x) from `k` weighted samples, nats per image, of images `(B, C, H, W)`.

    Burda, Grosse & Salakhutdinov 2016, eq. 8: -log mean_i p(x|z_i) p(z_i) / q(z_i|x) with z_i from
    the posterior. In expectation an upper bound, the -ELBO at `k` = 1, and tighter with every
    sample. Of variational models only: a plain autoencoder has no posterior to weigh. A likelihood
    that a batch decides must be `settled` before.

    inputs: what the encoder sees in place of `images`, for models that denoise; a bound all the
    same, whose slack is the worse the less the encoder sees of x.

    Each image draws its own noise from `generator`, one after the other: the figures do not depend
    on how many images one call gets, nor on `rows`, the model's batch (at least `k`).

    Raises:
        ValueError: `k` below 1.
    """
    if k < 1:
        raise ValueError(f"importance_weighted_nll needs at least 1 sample per image, got k={k}")
    seen = images if inputs is None else inputs
    weights = [images.new_empty(0, k)]
    step = max(1, rows // k)
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        part_labels = None if labels is None else labels[part]
        weights.append(
            _log_weights(model, likelihood, images[part], seen[part], part_labels, k, generator)
        )
    log_weights = torch.cat(weights)
    return Bounds(math.log(k) - torch.logsumexp(log_weights, dim=1), -log_weights.mean(1))


@torch.no_grad()
def _log_weights(
    model: Autoencoder,
    likelihood: Likelihood,
    images: Tensor,
    inputs: Tensor,
    labels: Tensor | None,
    k: int,
    generator: torch.Generator,
) -> Tensor:
    """log p(x|z) + log p(z) - log q(z|inputs) of `k` posterior samples of each image, `(B, k)`."""
    shape = (k, model.noise_dim)
    draws = [torch.randn(shape, generator=generator, device=generator.device) for _ in images]
    eps = torch.cat(draws).to(images)
    output = model.drawn(inputs, eps, labels)
    z = output.z_mean + torch.exp(0.5 * output.z_logvar) * eps
    log_posterior = -0.5 * (eps.square() + output.z_logvar + math.log(2 * math.pi)).sum(1)
    nll = likelihood.nll(output.logits, images.repeat_interleave(k, 0))
    log_weights: Tensor = model.log_prior(z) - nll - log_posterior
    return log_weights.view(len(images), k)
