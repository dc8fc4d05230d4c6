"""Fully connected VAE with gated linear units: the `vae` of VampPrior's and Exemplar VAE's code.

Every hidden layer is (W x + b) · sigmoid(V x + c) (Dauphin et al. 2017; Tomczak & Welling 2018).
Densities of MNIST and Fashion-MNIST that are published for "a VAE" are often this network's.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

from vae_trainables.config import ModelConfig
from vae_trainables.models.base import OneLevelAutoencoder
from vae_trainables.models.linear import Linear
from vae_trainables.models.sizes import scaled

LOGVAR_RANGE = -6.0, 2.0
"""Of the posterior, as in that code."""


def build(config: ModelConfig) -> OneLevelAutoencoder:
    """pixels - hidden - latent - reversed hidden - pixels, gated in every hidden layer.

    The published one is hidden (300, 300), latent_dim 40. Weights are normal with variance 2 over
    the inputs (He et al. 2015), as there; biases are torch's.

    Raises ValueError without hidden layers, where nothing could be gated.
    """
    hidden = scaled(config.hidden, config.width)
    if not hidden:
        raise ValueError("gated_mlp_vae needs at least one hidden layer, as in hidden=[300, 300]")
    encoder = nn.Sequential(nn.Flatten(), *_gated((config.pixels, *hidden)))
    decoder = nn.Sequential(
        *_gated((config.latent_dim, *reversed(hidden))),
        Linear(hidden[0], config.pixels),
        nn.Unflatten(1, config.image_shape),
    )
    model = OneLevelAutoencoder(config, encoder, hidden[-1], decoder)
    assert model.logvar_head is not None
    model.logvar_head = nn.Sequential(model.logvar_head, nn.Hardtanh(*LOGVAR_RANGE))
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.in_features))
    return model


def _gated(sizes: tuple[int, ...]) -> list[nn.Module]:
    """Values and gates of a layer are one product, of twice its outputs."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [Linear(fan_in, 2 * fan_out), nn.GLU(1)]
    return layers
