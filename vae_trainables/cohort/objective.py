"""`losses.objective` for K slots at once: every term per slot, every weight a number per slot.

Sums run over a slot's own images and dimensions only, so that no slot feels another: not its
gradient, nor its infinity.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap

from vae_trainables import metrics
from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.config import TrialConfig
from vae_trainables.models import ModelOutput
from vae_trainables.objective import likelihoods, losses
from vae_trainables.objective.likelihoods import Likelihood
from vae_trainables.objective.losses import LossTerms

PerImage = Callable[[Tensor, Tensor], Tensor]


class StackedObjective:
    """The loss of the configurations that share one fusion key."""

    def __init__(self, config: TrialConfig, terms: frozenset[str], vectors: SlotVectors) -> None:
        """config: for the settings that all slots share; terms: `fusion.step_terms`."""
        self.config, self.terms, self.vectors = config, terms, vectors
        self.likelihood: Likelihood = likelihoods.build(config)

    def __call__(
        self, output: ModelOutput, clean: Tensor, labels: Tensor, beta: Tensor
    ) -> LossTerms:
        """Terms (K,) of stacked output (K, B, ...), clean (K, B, C, H, W), labels (K, B)."""
        nll = self._nll(output.logits, clean).mean(1)
        loss = self._reconstruction(nll, output.logits, clean)
        if self.config.variational:
            loss = loss + beta * self._kl_penalty(output.kl)
        contrast = torch.zeros_like(nll)
        if "supcon" in self.terms:
            per_slot: Callable[..., Tensor] = vmap(losses.supcon)
            contrast = per_slot(output.z_mean, labels, self.vectors["supcon_temperature"])
            loss = loss + self.vectors["supcon_gamma"] * contrast
        recon, kl = nll.detach(), output.kl.detach().sum(2).mean(1)
        return LossTerms(loss, recon, kl, contrast.detach(), recon + kl)

    def _nll(self, logits: Tensor, clean: Tensor) -> Tensor:
        """(K, B) nats. Most likelihoods treat images one by one; sigma's variance is a batch's."""
        if self.config.likelihood == "sigma":
            return vmap(self.likelihood.nll)(logits, clean)
        return _per_image(self.likelihood.nll, logits, clean)

    def _reconstruction(self, nll: Tensor, logits: Tensor, clean: Tensor) -> Tensor:
        """As `losses.objective`'s; (K,)."""
        if self.config.recon_term == "nll" and not self.terms & {"ssim", "edge"}:
            return nll
        image = self.likelihood.mean(logits)
        term = nll
        if self.config.recon_term != "nll":
            error = {"mse": losses.squared_error, "l1": losses.absolute_error}
            term = _per_image(error[self.config.recon_term], image, clean).mean(1)
        if "ssim" in self.terms:
            similarity = _per_image(metrics.ssim, image, clean).mean(1)
            term = term + self.vectors["ssim_weight"] * (1.0 - similarity)
        if "edge" in self.terms:
            error_at_edges = _per_image(losses.edge_error, image, clean).mean(1)
            term = term + self.vectors["edge_weight"] * error_at_edges
        return term

    def _kl_penalty(self, kl: Tensor) -> Tensor:
        """As `losses.kl_penalty`, of kl (K, B, D); padding has no KL and gets no free bits."""
        per_dimension = kl.mean(1)
        if "free_bits" in self.terms:
            free = self.vectors["free_bits"].unsqueeze(1)
            per_dimension = per_dimension.clamp(min=free) * self.vectors.latent_mask
        total = per_dimension.sum(1)
        if "kl_target" in self.terms:
            return (total - self.vectors["kl_target"]).abs()
        return total


def _per_image(function: PerImage, left: Tensor, right: Tensor) -> Tensor:
    """`function` of two (B, ...) -> (B,), applied to two (K, B, ...) -> (K, B)."""
    return function(left.flatten(0, 1), right.flatten(0, 1)).view(left.shape[:2])
