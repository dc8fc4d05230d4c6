"""Fully connected AE and VAE: Kingma & Welling 2014's network, here in reference system R3."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from vae_trainables.config import ModelConfig
from vae_trainables.models.base import OneLevelAutoencoder
from vae_trainables.models.linear import Linear
from vae_trainables.models.sizes import scaled


def build(config: ModelConfig) -> OneLevelAutoencoder:
    """pixels - hidden - latent - reversed hidden - pixels, ReLU after every hidden layer.

    R3 (784 - 400 - 20 - 400 - 784) is hidden (400,), latent_dim 20.
    """
    image, pixels = config.image_shape, config.pixels
    hidden = scaled(config.hidden, config.width)
    top = hidden[-1] if hidden else pixels
    encoder = nn.Sequential(nn.Flatten(), *_hidden_layers((pixels, *hidden)))
    first = [nn.Linear(config.latent_dim, top), nn.ReLU()] if hidden else []
    last = Linear(hidden[0], pixels) if hidden else nn.Linear(config.latent_dim, pixels)
    decoder = nn.Sequential(
        *first, *_hidden_layers(tuple(reversed(hidden))), last, nn.Unflatten(1, image)
    )
    return OneLevelAutoencoder(config, encoder, top, decoder)


def _hidden_layers(sizes: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [Linear(fan_in, fan_out), nn.ReLU()]
    return layers
