"""Two-level hierarchical VAE: a coarse top code, and a fine one whose prior the top code sets."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_trainables.config import ModelConfig
from vae_trainables.models.base import Autoencoder, ModelOutput
from vae_trainables.models.convolution import Conv2d
from vae_trainables.models.gaussians import kl_divergence, log_density, reparameterize
from vae_trainables.models.residual import activation, down_stages, first_map, up_stages
from vae_trainables.models.sizes import scaled, stage_sizes
from vae_trainables.numerics.precision import widened

FINE_PER_TOP = 2
"""Fine dimensions per top dimension: z1 has FINE_PER_TOP * latent_dim of them."""


class _Inferred(NamedTuple):
    """What the encoder side finds out about an image; `fine` is z1 and `down_map` stems from z2."""

    mean: Tensor
    logvar: Tensor
    kl: Tensor
    fine: Tensor
    down_map: Tensor


def build(config: ModelConfig) -> HierarchicalAutoencoder:
    """The residual VAE's stages with a second latent level between the two smallest maps."""
    return HierarchicalAutoencoder(config)


class HierarchicalAutoencoder(Autoencoder):
    """p(z2) p(z1 | z2) p(x | z1, z2) with q(z2 | x) q(z1 | x, z2), all diagonal gaussians.

    A ladder (Soenderby et al. 2016): z2 (B, latent_dim) comes from the encoder's smallest map and
    starts the decoder. One stage up the decoder's map gives p(z1 | z2), and together with the
    encoder's map of that size q(z1 | x, z2); a draw of z1 (B, 2 * latent_dim) then joins it.

    q(z1) is stated relative to p(z1 | z2), mean in units of the prior's std and variance as a
    ratio (Vahdat & Kautz 2020): KL(q || p) is then the KL of those relative figures to a standard
    normal, and starts small whatever the prior does.

    Codes, means, log-variances, KL and eps are (z2, z1) side by side, (B, 3 * latent_dim).
    `encode` gives q(z1 | x, z2) at the mean of z2.
    """

    def __init__(self, config: ModelConfig) -> None:
        if len(config.widths) < 2:
            raise ValueError(
                f"hier_conv_vae needs a stage for each level, got widths {config.widths}: "
                "give at least 2 of them"
            )
        super().__init__()
        fine = FINE_PER_TOP * config.latent_dim
        self.top_dim = config.latent_dim
        self.noise_dim = self.top_dim + fine
        channels = scaled(config.widths, config.width)
        top_map = (channels[-1], *stage_sizes(config)[-1])
        fine_map = (channels[-2], *stage_sizes(config)[-2])
        top_features, fine_features = math.prod(top_map), math.prod(fine_map)

        *lower, self.to_top_map = down_stages(config)
        self.to_fine_map = nn.Sequential(*lower)
        self.top_posterior = nn.Sequential(
            nn.Flatten(), nn.Linear(top_features, 2 * config.latent_dim)
        )
        first_up, *further_up = up_stages(config)
        self.top_down = nn.Sequential(first_map(config, config.latent_dim), first_up)
        self.fine_prior = nn.Sequential(
            *activation(channels[-2]), nn.Flatten(), nn.Linear(fine_features, 2 * fine)
        )
        self.fine_posterior = nn.Sequential(
            Conv2d(2 * channels[-2], channels[-2], kernel_size=3, padding=1),
            *activation(channels[-2]),
            nn.Flatten(),
            nn.Linear(fine_features, 2 * fine),
        )
        self.fine_in = nn.Sequential(nn.Linear(fine, fine_features), nn.Unflatten(1, fine_map))
        self.to_logits = nn.Sequential(*further_up)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        inferred = self._infer(x, None)
        return inferred.mean, inferred.logvar

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        top, fine = self._levels(z)
        return self._render(self.top_down(top), fine)

    def forward(
        self, x: Tensor, eps: Tensor | None = None, labels: Tensor | None = None
    ) -> ModelOutput:
        inferred = self._infer(x, eps)
        logits = self._render(inferred.down_map, inferred.fine)
        return ModelOutput(logits, inferred.mean, inferred.logvar, inferred.kl)

    def sample(self, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        top, eps_fine = self._levels(eps)
        down_map = self.top_down(top)
        return self._render(down_map, reparameterize(*self._prior(down_map), eps_fine))

    def log_prior(self, z: Tensor) -> Tensor:
        top, fine = self._levels(z)
        return super().log_prior(top) + log_density(fine, *self.prior(top))

    def prior(self, top: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(z1 | z2 = top), each (B, 2 * latent_dim)."""
        return self._prior(self.top_down(top))

    def _levels(self, both: Tensor) -> tuple[Tensor, Tensor]:
        """The top and the fine columns of (B, noise_dim)."""
        return both[:, : self.top_dim], both[:, self.top_dim :]

    def _prior(self, down_map: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = widened(self.fine_prior(down_map)).chunk(2, dim=1)
        return mean, logvar

    def _infer(self, x: Tensor, eps: Tensor | None) -> _Inferred:
        eps_top, eps_fine = (None, None) if eps is None else self._levels(eps)
        fine_map = self.to_fine_map(x)
        top_figures = widened(self.top_posterior(self.to_top_map(fine_map)))
        top_mean, top_logvar = top_figures.chunk(2, dim=1)
        down_map = self.top_down(reparameterize(top_mean, top_logvar, eps_top))
        prior_mean, prior_logvar = self._prior(down_map)
        both_maps = torch.cat([fine_map, down_map], dim=1)
        shift, log_ratio = widened(self.fine_posterior(both_maps)).chunk(2, dim=1)
        relative = reparameterize(shift, log_ratio, eps_fine)
        fine_mean = reparameterize(prior_mean, prior_logvar, shift)
        return _Inferred(
            mean=torch.cat([top_mean, fine_mean], dim=1),
            logvar=torch.cat([top_logvar, prior_logvar + log_ratio], dim=1),
            kl=kl_divergence(
                torch.cat([top_mean, shift], dim=1), torch.cat([top_logvar, log_ratio], dim=1)
            ),
            fine=reparameterize(prior_mean, prior_logvar, relative),
            down_map=down_map,
        )

    def _render(self, down_map: Tensor, fine: Tensor) -> Tensor:
        logits: Tensor = self.to_logits(down_map + self.fine_in(fine))
        return logits
