"""Deeper convolutional VAE: residual blocks at every resolution but the full one.

The full resolution sees only the first and the last convolution, for there a block would cost
four times what it costs one stage further down.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from vae_trainables.config import ModelConfig
from vae_trainables.models.base import OneLevelAutoencoder
from vae_trainables.models.conv import feature_count, upsample
from vae_trainables.models.convolution import Conv2d
from vae_trainables.models.sizes import scaled, stage_sizes


def build(config: ModelConfig) -> OneLevelAutoencoder:
    """Per width: k4 s2 p1 convolution and `blocks` residual blocks; the decoder mirrors it."""
    encoder = nn.Sequential(*down_stages(config), nn.Flatten())
    decoder = nn.Sequential(first_map(config, config.latent_dim), *up_stages(config))
    return OneLevelAutoencoder(config, encoder, feature_count(config), decoder)


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), shape kept (He et al. 2016b, pre-activation).

    GroupNorm, not BatchNorm: an image's code must not depend on the others in its batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *activation(channels),
            Conv2d(channels, channels, kernel_size=3, padding=1),
            *activation(channels),
            Conv2d(channels, channels, kernel_size=3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W), the same out."""
        out: Tensor = x + self.residual(x)
        return out


def down_stages(config: ModelConfig) -> list[nn.Sequential]:
    """The encoder's stages; the last one ends activated, ready to be flattened."""
    widths = scaled(config.widths, config.width)
    stages = []
    for fan_in, fan_out in pairwise((config.channels, *widths)):
        halve = Conv2d(fan_in, fan_out, kernel_size=4, stride=2, padding=1)
        stages.append(nn.Sequential(halve, *residual_blocks(fan_out, config.blocks)))
    stages[-1].extend(activation(widths[-1]))
    return stages


def first_map(config: ModelConfig, in_features: int) -> nn.Sequential:
    """Codes (B, in_features) to the decoder's smallest feature map."""
    size, channels = stage_sizes(config)[-1], scaled(config.widths, config.width)[-1]
    return nn.Sequential(
        nn.Linear(in_features, feature_count(config)), nn.Unflatten(1, (channels, *size))
    )


def up_stages(config: ModelConfig) -> list[nn.Sequential]:
    """The decoder's stages, smallest map first; the last one ends in logits."""
    channels, sides = (config.channels, *scaled(config.widths, config.width)), stage_sizes(config)
    return [
        nn.Sequential(
            *residual_blocks(channels[stage + 1], config.blocks),
            *activation(channels[stage + 1]),
            upsample(channels[stage + 1], channels[stage], sides[stage]),
        )
        for stage in reversed(range(len(config.widths)))
    ]


def residual_blocks(channels: int, blocks: int) -> list[nn.Module]:
    """`blocks` residual blocks in a row."""
    return [ResidualBlock(channels) for _ in range(blocks)]


def activation(channels: int) -> list[nn.Module]:
    """GroupNorm and SiLU; as many groups, up to 8, as divide the channels."""
    groups = next(count for count in range(8, 0, -1) if channels % count == 0)
    return [nn.GroupNorm(groups, channels), nn.SiLU()]
