"""Plain convolutional AE and VAE: strided convolutions down, transposed ones up (R1, R2, R4)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_trainables.config import ModelConfig
from vae_trainables.models.base import OneLevelAutoencoder
from vae_trainables.models.linear import tall_product
from vae_trainables.models.sizes import scaled, stage_sizes


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
    side = stage_sizes(config)[-1]
    return scaled(config.widths, config.width)[-1] * side * side


def conv_encoder(config: ModelConfig, in_channels: int) -> nn.Sequential:
    """Images (B, in_channels, H, W) to features (B, feature_count)."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((in_channels, *scaled(config.widths, config.width))):
        layers += [nn.Conv2d(fan_in, fan_out, kernel_size=4, stride=2, padding=1), nn.ReLU()]
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
    innermost = nn.Unflatten(1, (widths[-1], sides[-1], sides[-1]))
    channels = (config.channels, *widths)
    layers: list[nn.Module] = []
    for stage in reversed(range(len(widths))):
        layers += [nn.ReLU(), upsample(channels[stage + 1], channels[stage], sides[stage])]
    layers.insert(1, innermost)
    return nn.Sequential(first, *layers)


def upsample(fan_in: int, fan_out: int, side: int) -> nn.ConvTranspose2d:
    """Transposed convolution from side // 2 to `side` pixels, the reverse of k4 s2 p1."""
    kind = OneChannelTransposed if fan_out == 1 else nn.ConvTranspose2d
    return kind(fan_in, fan_out, kernel_size=4, stride=2, padding=1, output_padding=side % 2)


class OneChannelTransposed(nn.ConvTranspose2d):
    """A transposed convolution to grey images: on a CPU by one matrix product.

    The library's kernel is made for many output channels. Here each input pixel's contributions to
    its patch are a row of a product, and `fold` adds up what overlaps: equal but for rounding, and
    three fifths of the time both ways (`python -m benchmarks.step_parts`).
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        if input.is_cuda or torch.compiler.is_exporting():
            return super().forward(input, output_size)
        batch, _, height, width = input.shape
        pixels = input.permute(0, 2, 3, 1).reshape(-1, self.in_channels)
        rows = tall_product(pixels, self.weight.flatten(1))
        patches = rows.view(batch, height * width, -1).transpose(1, 2)
        (kernel, _), (stride, _), padding = self.kernel_size, self.stride, int(self.padding[0])
        size = tuple(
            (side - 1) * stride + kernel - 2 * padding + extra
            for side, extra in zip((height, width), self.output_padding, strict=True)
        )
        whole = F.fold(patches, size, self.kernel_size, 1, padding, self.stride)
        return whole if self.bias is None else whole + self.bias.view(-1, 1, 1)
