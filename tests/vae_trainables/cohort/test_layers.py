"""Layers with weights per slot against torch's own layers, one slot at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vae_trainables.cohort import layers
from vae_trainables.cohort.layers import Convolution

SLOTS, BATCH = 3, 4


def stacked(modules: list[Any], name: str) -> Tensor:
    return torch.stack([getattr(module, name).detach() for module in modules]).requires_grad_()


def backward(outputs: Tensor, inputs: list[Tensor], seed: int = 1) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype)
    return torch.autograd.grad(outputs, inputs, direction)


@pytest.mark.parametrize(("fan_in", "fan_out"), [(784, 48), (48, 16), (16, 48), (64, 4), (48, 784)])
def test_linear_has_the_bits_of_solo_layers_both_ways(fan_in: int, fan_out: int) -> None:
    torch.manual_seed(0)
    modules = [nn.Linear(fan_in, fan_out) for _ in range(SLOTS)]
    x = torch.randn(SLOTS, 64, fan_in, requires_grad=True)
    weight, bias = stacked(modules, "weight"), stacked(modules, "bias")
    y = layers.linear(x, weight, bias)
    direction = torch.randn_like(y)
    found = torch.autograd.grad(y, (x, weight, bias), direction)
    for slot, module in enumerate(modules):
        own = x[slot].detach().requires_grad_()
        alone = module(own)
        assert torch.equal(alone, y[slot])
        expected = torch.autograd.grad(alone, (own, module.weight, module.bias), direction[slot])
        for mine, theirs in zip(found, expected, strict=True):
            assert torch.equal(mine[slot], theirs)


def test_linear_takes_rows_that_do_not_lie_together() -> None:
    """As the bank's views: a slot's weights are contiguous, the stack of them is not."""
    flat = torch.randn(SLOTS, 100, dtype=torch.float64)
    weight, bias = flat[:, 16:76].view(SLOTS, 6, 10), flat[:, 80:86]
    x = torch.randn(SLOTS, 5, 10, dtype=torch.float64)
    expected = torch.stack([x[k] @ weight[k].T + bias[k] for k in range(SLOTS)])
    torch.testing.assert_close(layers.linear(x, weight, bias), expected)


CONVOLUTIONS = [
    pytest.param(nn.Conv2d, {}, (28, 28), id="down-28"),
    pytest.param(nn.Conv2d, {}, (7, 7), id="down-7"),
    pytest.param(nn.Conv2d, {"kernel_size": 3, "stride": 1}, (5, 9), id="keep-5x9"),
    pytest.param(nn.ConvTranspose2d, {"output_padding": 0}, (14, 14), id="up-14"),
    pytest.param(nn.ConvTranspose2d, {"output_padding": 1}, (3, 3), id="up-3"),
    pytest.param(nn.ConvTranspose2d, {"kernel_size": 3, "stride": 2}, (3, 5), id="up-3x5"),
]


@pytest.mark.parametrize("way", ["grouped", "im2col"])
@pytest.mark.parametrize(("kind", "settings", "size"), CONVOLUTIONS)
def test_convolutions_equal_torchs_both_ways(
    kind: Any, settings: dict[str, int], size: tuple[int, int], way: Convolution
) -> None:
    torch.manual_seed(0)
    shape = {"kernel_size": 4, "stride": 2, "padding": 1, **settings}
    modules = [kind(3, 5, **shape).double() for _ in range(SLOTS)]
    x = torch.randn(SLOTS, BATCH, 3, *size, dtype=torch.float64, requires_grad=True)
    weight, bias = stacked(modules, "weight"), stacked(modules, "bias")
    y = layers.convolve(x, weight, bias, modules[0], way)
    expected = torch.stack([module(x[slot]) for slot, module in enumerate(modules)])
    torch.testing.assert_close(y, expected)
    found = backward(y, [x, weight, bias])
    direct = backward(expected, [x, *(m.weight for m in modules), *(m.bias for m in modules)])
    torch.testing.assert_close(found[0], direct[0])
    torch.testing.assert_close(found[1], torch.stack(direct[1 : 1 + SLOTS]))
    torch.testing.assert_close(found[2], torch.stack(direct[1 + SLOTS :]))


def test_a_pair_of_layers_has_the_gradients_of_two() -> None:
    shapes = [(SLOTS, 4, 6), (SLOTS, 3, 6), (SLOTS, 3), (SLOTS, 2, 6), (SLOTS, 2)]
    inputs = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(layers._StackedPair.apply, inputs)
    x, *pair = inputs
    for mine, weights in zip(layers._StackedPair.apply(*inputs), (pair[:2], pair[2:]), strict=True):
        torch.testing.assert_close(mine, layers.linear(x, *weights))


@pytest.mark.parametrize("way", ["grouped", "im2col"])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_nan_in_a_slot_reaches_no_other_slots_gradient(kind: Any, way: Convolution) -> None:
    module = kind(2, 3, kernel_size=4, stride=2, padding=1)
    weight = torch.randn(SLOTS, *module.weight.shape)
    weight[1] = torch.nan
    bias = torch.zeros(SLOTS, 3)
    x = torch.randn(SLOTS, BATCH, 2, 8, 8)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    y = layers.convolve(*leaves, module, way)
    found = torch.autograd.grad(y.square().sum(), leaves)
    for tensor in (y, *found):
        assert tensor[[0, 2]].isfinite().all()
        assert tensor[1].isnan().any()
