"""Bounds on log p(x) tighter than the ELBO."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_trainables.models import Autoencoder
from vae_trainables.objective.likelihoods import Likelihood


def importance_weighted_nll(
    model: Autoencoder,
    likelihood: Likelihood,
    images: Tensor,
    *,
    k: int,
    generator: torch.Generator,
    labels: Tensor | None = None,
    rows: int = 4096,
) -> Tensor:
    """Estimate of -log p(x) from `k` weighted samples, nats per image; `(B, C, H, W)` -> `(B,)`.

    Burda, Grosse & Salakhutdinov 2016, eq. 8: -log mean_i p(x|z_i) p(z_i) / q(z_i|x) with z_i from
    the posterior. In expectation an upper bound, the -ELBO at `k` = 1, and tighter with every
    sample. Of variational models only: a plain autoencoder has no posterior to weigh. A likelihood
    that a batch decides must be `settled` before.

    Each image draws its own noise from `generator`, one after the other: the figures do not depend
    on how many images one call gets, nor on `rows`, the model's batch (at least `k`).

    Raises:
        ValueError: `k` below 1.
    """
    if k < 1:
        raise ValueError(f"importance_weighted_nll needs at least 1 sample per image, got k={k}")
    values = [images.new_empty(0)]
    step = max(1, rows // k)
    for start in range(0, len(images), step):
        part = images[start : start + step]
        part_labels = None if labels is None else labels[start : start + step]
        log_weights = _log_weights(model, likelihood, part, part_labels, k, generator)
        values.append(math.log(k) - torch.logsumexp(log_weights, dim=1))
    return torch.cat(values)


@torch.no_grad()
def _log_weights(
    model: Autoencoder,
    likelihood: Likelihood,
    images: Tensor,
    labels: Tensor | None,
    k: int,
    generator: torch.Generator,
) -> Tensor:
    """log p(x|z) + log p(z) - log q(z|x) of `k` posterior samples of each image, `(B, k)`.

    By the whole model, encoder included: with two levels the posterior of one depends on the
    sample of the other.
    """
    shape = (k, model.noise_dim)
    draws = [torch.randn(shape, generator=generator, device=generator.device) for _ in images]
    eps = torch.cat(draws).to(images)
    repeated = images.repeat_interleave(k, 0)
    output = model(repeated, eps, None if labels is None else labels.repeat_interleave(k, 0))
    z = output.z_mean + torch.exp(0.5 * output.z_logvar) * eps
    log_posterior = -0.5 * (eps.square() + output.z_logvar + math.log(2 * math.pi)).sum(1)
    log_joint = model.log_prior(z) - likelihood.nll(output.logits, repeated)
    log_weights: Tensor = log_joint - log_posterior
    return log_weights.view(len(images), k)
