"""Plain convolutional AE and VAE: strided convolutions down, transposed ones up (R1, R2, R4)."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from vae_trainables.config import ModelConfig
from vae_trainables.models.base import OneLevelAutoencoder
from vae_trainables.models.convolution import Conv2d, ConvTranspose2d, OneChannelTransposed
from vae_trainables.models.sizes import Size, scaled, stage_sizes


def build(config: ModelConfig) -> OneLevelAutoencoder:
    """One k4 s2 p1 convolution per width, ReLU between layers, the decoder its mirror image.

    R1 is widths (32, 64, 128) on 28 x 28: 14, 7, 3 pixels, 1152 features, and back.
    """
    features = feature_count(config)
    encoder = conv_encoder(config, config.channels)
    decoder = conv_decoder(config, config.latent_dim)
    return OneLevelAutoencoder(config, encoder, features, decoder)


def feature_count(config: ModelConfig) -> int:
    """Length of the flattened last feature map."""
    height, width = stage_sizes(config)[-1]
    return scaled(config.widths, config.width)[-1] * height * width


def conv_encoder(config: ModelConfig, in_channels: int) -> nn.Sequential:
    """Images (B, in_channels, H, W) to features (B, feature_count)."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((in_channels, *scaled(config.widths, config.width))):
        layers += [Conv2d(fan_in, fan_out, kernel_size=4, stride=2, padding=1), nn.ReLU()]
    layers.insert(-1, nn.Flatten())  # see `conv_decoder`
    return nn.Sequential(*layers)


def conv_decoder(config: ModelConfig, in_features: int) -> nn.Sequential:
    """Codes (B, in_features) to logits (B, C, H, W).

    The innermost ReLUs act on flat features: behind a change from flat to channels-last the
    gradient would have another memory layout than the activation, and ReLU's backward take 7 % of
    the step.
    """
    widths, sides = scaled(config.widths, config.width), stage_sizes(config)
    first = nn.Linear(in_features, feature_count(config))
    innermost = nn.Unflatten(1, (widths[-1], *sides[-1]))
    channels = (config.channels, *widths)
    layers: list[nn.Module] = []
    for stage in reversed(range(len(widths))):
        layers += [nn.ReLU(), upsample(channels[stage + 1], channels[stage], sides[stage])]
    layers.insert(1, innermost)
    return nn.Sequential(first, *layers)


def upsample(fan_in: int, fan_out: int, size: Size) -> nn.ConvTranspose2d:
    """Transposed convolution from half of `size`, rounded down, to it: the reverse of k4 s2 p1."""
    odd = size[0] % 2, size[1] % 2
    kind = OneChannelTransposed if fan_out == 1 else ConvTranspose2d
    return kind(fan_in, fan_out, kernel_size=4, stride=2, padding=1, output_padding=odd)
