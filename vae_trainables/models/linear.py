"""Wide linear layers on a CPU: oneDNN's matrix products where MKL's are slower.

torch leaves a linear layer to MKL, which keeps AVX-512 to its maker's CPUs: on an AMD EPYC a layer
both ways takes three fifths of the time with oneDNN (`python -m benchmarks.step_parts`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_trainables.numerics.precision import lowered

NARROW = 64
"""Below this many inputs or outputs the products are too small to gain."""


class Linear(nn.Linear):
    """nn.Linear; for layers whose sizes do not depend on the latent, which a cohort pads."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, in) -> (B, out)."""
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (B, in), weight (out, in), bias (out,) -> (B, out), by the faster library."""
    if not takes(x, weight):
        return F.linear(x, weight, bias)
    result: Tensor = _OneDnnLinear.apply(x, weight, bias)
    return result


def tall_product(x: Tensor, weight: Tensor) -> Tensor:
    """x (N, in) @ weight (in, out) -> (N, out), where N is thousands: any width gains."""
    if not _usable(x):
        return x @ weight
    result: Tensor = _OneDnnLinear.apply(x, weight.t(), None)
    return result


def takes(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN's product of these is wanted; it depends on no value and no batch size."""
    return min(weight.shape[-2:]) >= NARROW and _usable(x)


def _usable(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not lowered(x.device)
        and not torch.compiler.is_exporting()
        and _available()
    )


@cache
def _available() -> bool:
    """The operation is torch's own, for its compiler: a version may come without it."""
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a (M, K) @ b (N, K)^T + bias (N,); transposed views cost nothing."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return result


class _OneDnnLinear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _product(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        for_x = _product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        wide = min(weight.shape) >= NARROW
        for_weight = _product(gradient.t(), x.t()) if wide else gradient.t() @ x
        return for_x, for_weight, gradient.sum(0) if ctx.needs_input_grad[2] else None
