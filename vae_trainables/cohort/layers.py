"""Linear layers and convolutions with weights per slot: `(K, ...)` in front of everything.

Images are `(K, B, C, H, W)` by shape; in memory they lie as the kernel that made them left them,
so that a chain of layers copies nothing in between.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_trainables.models import linear as solo
from vae_trainables.numerics.precision import lowered

Convolution = Literal["grouped", "im2col"]
"""How slots' convolutions are fused: one grouped convolution, or patches and one `baddbmm`."""

Layer = tuple[Tensor, Tensor]
"""Weight (K, out, in) and bias (K, out)."""


class _StackedLinear(torch.autograd.Function):
    """`x @ weight^T + bias` per slot, with the matrix products of a solo `nn.Linear` both ways.

    Autograd's own backward of `baddbmm` computes the transpose of the weight's gradient: other
    bits than a solo trial's for small layers, and one more copy.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        for_x = torch.bmm(gradient, weight) if ctx.needs_input_grad[0] else None
        return for_x, torch.bmm(gradient.mT, x), gradient.sum(1)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (K, N, in), weight (K, out, in), bias (K, out) -> (K, N, out)."""
    if lowered(x.device):
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
    result: Tensor = _StackedLinear.apply(x, weight, bias)
    return result


class _StackedPair(torch.autograd.Function):
    """Two `_StackedLinear` of one x, whose gradient is summed as the products are made."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, *weights[::2])
        pairs = zip(weights[::2], weights[1::2], strict=True)
        return tuple(torch.baddbmm(bias.unsqueeze(1), x, weight.mT) for weight, bias in pairs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        x, *weights = ctx.saved_tensors
        for_x = torch.bmm(gradients[0], weights[0])
        for_x = torch.baddbmm(for_x, gradients[1], weights[1])
        for_weights = [(torch.bmm(gradient.mT, x), gradient.sum(1)) for gradient in gradients]
        return (for_x, *for_weights[0], *for_weights[1])


def linear_pair(x: Tensor, first: Layer, second: Layer) -> tuple[Tensor, Tensor]:
    """`linear` of one x by two layers, each weight and bias; on a CPU with a solo trial's bits."""
    if x.device.type == "cpu" or lowered(x.device):
        return linear(x, *first), linear(x, *second)
    results: tuple[Tensor, Tensor] = _StackedPair.apply(x, *first, *second)
    return results


def wide_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`linear` for `models.linear.Linear`: on a CPU slot by slot, with its bits."""
    if not solo.takes(x, weight):
        return linear(x, weight, bias)
    return torch.stack([solo.linear(*slot) for slot in zip(x, weight, bias, strict=True)])


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d, way: Convolution
) -> Tensor:
    """`layer`'s convolution with weight (K, *layer's) and bias (K, out), the `way` one likes.

    x (K, B, C, H, W) -> (K, B, out, H', W'). Kernel, stride and padding are `layer`'s; they must
    be square, and its output padding at most its padding.
    """
    if way == "grouped":
        return _grouped(x, weight, bias, layer)
    if isinstance(layer, nn.ConvTranspose2d):
        return _scattered(x, weight, bias, layer)
    return _gathered(x, weight, bias, layer)


def _grouped(
    x: Tensor, weight: Tensor, bias: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d
) -> Tensor:
    """Slots side by side as groups of channels, (B, K * C, H, W)."""
    slots, batch = x.shape[:2]
    images = x.transpose(0, 1).flatten(1, 2)
    kernel, offset = weight.flatten(0, 1), bias.flatten()
    stride, padding = layer.stride, int(layer.padding[0])
    if isinstance(layer, nn.ConvTranspose2d):
        y = F.conv_transpose2d(
            images, kernel, offset, stride, padding, layer.output_padding, groups=slots
        )
    else:
        y = F.conv2d(images, kernel, offset, stride, padding, groups=slots)
    return y.view(batch, slots, -1, *y.shape[2:]).transpose(0, 1)


def _gathered(x: Tensor, weight: Tensor, bias: Tensor, layer: nn.Conv2d) -> Tensor:
    """Each output pixel's patch as a row, and one matrix product per slot."""
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    padded = F.pad(x, (padding,) * 4)
    patches = padded.unfold(3, kernel, stride).unfold(4, kernel, stride)  # (K, B, C, H', W', k, k)
    batch, height, width = patches.shape[1], *patches.shape[3:5]
    rows = patches.permute(0, 1, 3, 4, 2, 5, 6).flatten(4).flatten(1, 3)
    y = linear(rows, weight.flatten(2), bias)
    return y.view(len(x), batch, height, width, -1).permute(0, 1, 4, 2, 3)


def _scattered(x: Tensor, weight: Tensor, bias: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """Each input pixel's contribution to its patch of the output, and overlapping ones added."""
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    batch, channels, height, width = x.shape[1:]
    rows = x.permute(0, 1, 3, 4, 2).reshape(len(x), batch * height * width, channels)
    patches = torch.bmm(rows, weight.flatten(2))  # (K, B * H * W, out * k * k)
    patches = patches.view(len(x), batch, height, width, -1, kernel, kernel)
    whole = _overlap_add(patches.permute(0, 1, 4, 2, 3, 5, 6), stride)
    bottom, right = (
        size - padding + extra
        for size, extra in zip(whole.shape[3:], layer.output_padding, strict=True)
    )
    return whole[..., padding:bottom, padding:right] + bias[:, None, :, None, None]


def _overlap_add(patches: Tensor, stride: int) -> Tensor:
    """Add (K, B, C, H, W, k, k) into (K, B, C, H', W') where `unfold` would have taken them."""
    *outer, height, width, kernel, _ = patches.shape
    tall, wide = (height - 1) * stride + kernel, (width - 1) * stride + kernel
    fold = torch.ops.aten.unfold_backward
    rows = fold(patches, [*outer, height, wide, kernel], len(outer) + 1, kernel, stride)
    whole: Tensor = fold(rows, [*outer, tall, wide], len(outer), kernel, stride)
    return whole
