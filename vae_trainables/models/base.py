"""What every model offers and what the one-level models share.

Nothing here, nor in any model, draws a random number or looks at a value: noise is passed in,
so that a step can be replayed bit for bit, captured into a CUDA graph or run under `torch.func`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_trainables.config import ModelConfig
from vae_trainables.models.gaussians import log_density, sampled
from vae_trainables.numerics.precision import widened


class ModelOutput(NamedTuple):
    """One forward pass; D is `noise_dim` (the latent dimensions of all levels together)."""

    logits: Tensor
    """(B, C, H, W), before the likelihood's in-map: the model never applies the sigmoid."""
    z_mean: Tensor
    """(B, D), the posterior's mean."""
    z_logvar: Tensor
    """(B, D), the posterior's log-variance; zeros for a plain autoencoder."""
    kl: Tensor
    """(B, D), KL to the prior in nats per latent dimension; zeros for a plain autoencoder."""

    def in_float32(self) -> ModelOutput:
        """Logits may be bfloat16 (see `precision`); the figures of the latents never are."""
        return self._replace(logits=widened(self.logits))


class Autoencoder(nn.Module):
    """The interface of all kinds. `labels` (B,) int64 matter to class-conditioned kinds only."""

    noise_dim: int
    """Columns of `eps` and of `z`."""
    conditional: bool = False
    """Whether the model is told classes; without labels such a model sees a class it never saw."""

    def encode(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) to the posterior's mean and log-variance, each (B, noise_dim)."""
        raise NotImplementedError

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes (B, noise_dim) to logits (B, C, H, W)."""
        raise NotImplementedError

    def forward(
        self, x: Tensor, eps: Tensor | None = None, labels: Tensor | None = None
    ) -> ModelOutput:
        """Encode, draw z with the standard normal `eps` (B, noise_dim), decode.

        Without `eps`, z is the posterior's mean: deterministic, the convention of evaluation.
        """
        raise NotImplementedError

    def at_mean_and_draw(
        self, x: Tensor, eps: Tensor | None, labels: Tensor | None = None
    ) -> tuple[ModelOutput, ModelOutput]:
        """`forward` without and with `eps`, bit for bit; cheaper where they share the encoder."""
        at_mean = self(x, None, labels)
        return at_mean, at_mean if eps is None else self(x, eps, labels)

    def drawn(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> ModelOutput:
        """`forward` of several draws of each image: `eps` (B * k, noise_dim), image by image."""
        k = len(eps) // len(x)
        classes = None if labels is None else labels.repeat_interleave(k, 0)
        output: ModelOutput = self(x.repeat_interleave(k, 0), eps, classes)
        return output

    def sample(self, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (B, C, H, W) of a draw from the prior, `eps` (B, noise_dim) standard normal.

        A plain autoencoder has no prior; it decodes `eps` as it is, for comparison.
        """
        return self.decode(eps, labels)

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) of codes (B, noise_dim) in nats, (B,): standard normal unless overridden."""
        return log_density(z, torch.zeros_like(z), torch.zeros_like(z))


class OneLevelAutoencoder(Autoencoder):
    """Encoder trunk, linear heads, decoder; one latent level with a standard normal prior.

    `encoder` maps images to (B, features), `decoder` maps (B, latent_dim) to logits. A plain
    autoencoder has the mean head alone, without a non-linearity: that is its code.
    """

    def __init__(
        self, config: ModelConfig, encoder: nn.Module, features: int, decoder: nn.Module
    ) -> None:
        super().__init__()
        self.noise_dim = config.latent_dim
        self.encoder = encoder
        self.mean_head = nn.Linear(features, config.latent_dim)
        self.logvar_head: nn.Module | None = (
            nn.Linear(features, config.latent_dim) if config.variational else None
        )
        self.decoder = decoder

    def encode(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features = self.encoder(x)
        z_mean = widened(self.mean_head(features))
        if self.logvar_head is None:
            return z_mean, torch.zeros_like(z_mean)
        return z_mean, widened(self.logvar_head(features))

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.decoder(z)
        return logits

    def forward(
        self, x: Tensor, eps: Tensor | None = None, labels: Tensor | None = None
    ) -> ModelOutput:
        return self._decoded(*self.encode(x, labels), eps, labels)

    def at_mean_and_draw(
        self, x: Tensor, eps: Tensor | None, labels: Tensor | None = None
    ) -> tuple[ModelOutput, ModelOutput]:
        posterior = self.encode(x, labels)
        at_mean = self._decoded(*posterior, None, labels)
        return at_mean, at_mean if eps is None else self._decoded(*posterior, eps, labels)

    def drawn(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> ModelOutput:
        """As of all kinds; the encoder sees each image once."""
        k = len(eps) // len(x)
        z_mean, z_logvar = (part.repeat_interleave(k, 0) for part in self.encode(x, labels))
        classes = None if labels is None else labels.repeat_interleave(k, 0)
        return self._decoded(z_mean, z_logvar, eps, classes)

    def _decoded(
        self, z_mean: Tensor, z_logvar: Tensor, eps: Tensor | None, labels: Tensor | None
    ) -> ModelOutput:
        if self.logvar_head is None:
            return ModelOutput(self.decode(z_mean, labels), z_mean, z_logvar, z_logvar)
        z, kl = sampled(z_mean, z_logvar, eps)
        return ModelOutput(self.decode(z, labels), z_mean, z_logvar, kl)
