"""Convolutions on a CPU, where the library takes long for a bias or for a single channel.

All are equal to torch's own but for rounding: `python -m benchmarks.step_parts` has the times.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_trainables.models.linear import tall_product


class Conv2d(nn.Conv2d):
    """nn.Conv2d; where gradients are wanted, the bias is added by itself.

    The library finds a bias's gradient in another pass over the layer, not by a mere sum.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        if _left_to_the_library(input):
            return super().forward(input)
        return _with_bias(self._conv_forward(input, self.weight, None), self.bias)


class ConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d likewise."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        if _left_to_the_library(input):
            return super().forward(input)
        padding = [int(side) for side in self.padding]
        result = F.conv_transpose2d(
            input, self.weight, None, self.stride, padding, self.output_padding
        )
        return _with_bias(result, self.bias)


class OneChannelTransposed(nn.ConvTranspose2d):
    """A transposed convolution to grey images: on a CPU by one matrix product.

    The library's kernel is made for many output channels. Here each input pixel's contributions to
    its patch are a row of a product, and `fold` adds up what overlaps: three fifths of the time
    both ways.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        if input.device.type != "cpu" or torch.compiler.is_exporting():
            return super().forward(input, output_size)
        batch, _, height, width = input.shape
        pixels = input.permute(0, 2, 3, 1).reshape(-1, self.in_channels)
        rows = tall_product(pixels, self.weight.flatten(1))
        patches = rows.view(batch, height * width, rows.shape[1]).transpose(1, 2)
        (kernel, _), (stride, _), padding = self.kernel_size, self.stride, int(self.padding[0])
        size = tuple(
            (side - 1) * stride + kernel - 2 * padding + extra
            for side, extra in zip((height, width), self.output_padding, strict=True)
        )
        whole = F.fold(patches, size, self.kernel_size, 1, padding, self.stride)
        return whole if self.bias is None else whole + self.bias.view(-1, 1, 1)


def _left_to_the_library(input: Tensor) -> bool:
    return (
        input.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_exporting()
    )


def _with_bias(result: Tensor, bias: Tensor | None) -> Tensor:
    return result if bias is None else result.add_(bias.to(result.dtype).view(-1, 1, 1))
