"""Convolutions of our own against torch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vae_trainables.models.convolution import Conv2d, ConvTranspose2d, OneChannelTransposed

K4_S2: dict[str, Any] = {"kernel_size": 4, "stride": 2, "padding": 1}
LAYERS: dict[str, tuple[nn.Module, nn.Module, int]] = {
    "down": (nn.Conv2d(6, 10, **K4_S2), Conv2d(6, 10, **K4_S2), 14),
    "3 x 3": (nn.Conv2d(6, 6, 3, padding=1), Conv2d(6, 6, 3, padding=1), 7),
    "no bias": (nn.Conv2d(6, 3, 3, bias=False), Conv2d(6, 3, 3, bias=False), 7),
    "up": (nn.ConvTranspose2d(6, 4, **K4_S2), ConvTranspose2d(6, 4, **K4_S2), 14),
    "up to an odd size": (
        nn.ConvTranspose2d(6, 4, **K4_S2, output_padding=1),
        ConvTranspose2d(6, 4, **K4_S2, output_padding=1),
        3,
    ),
    **{
        f"to one channel, {side}": (
            nn.ConvTranspose2d(6, 1, **K4_S2, output_padding=extra),
            OneChannelTransposed(6, 1, **K4_S2, output_padding=extra),
            side,
        )
        for side, extra in ((14, 0), (7, 1), (1, 1))
    },
}


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("name", LAYERS)
def test_value_and_gradients_are_the_librarys(name: str, dtype: torch.dtype, limit: float) -> None:
    library, ours, side = LAYERS[name]
    ours.load_state_dict(library.state_dict())
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 6, side, side, generator=generator)
    x = x.to(dtype, memory_format=torch.channels_last)

    def found(layer: nn.Module) -> list[Tensor]:
        leaf = x.clone().requires_grad_()
        out = layer.to(dtype)(leaf)
        return [out, *torch.autograd.grad(out.square().sum(), [leaf, *layer.parameters()])]

    for mine, expected in zip(found(ours), found(library), strict=True):
        torch.testing.assert_close(mine, expected, rtol=limit, atol=limit)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), library(x), rtol=limit, atol=limit)


@pytest.mark.parametrize("name", LAYERS)
def test_under_autocast_a_bias_gets_its_gradient_in_its_own_type(name: str) -> None:
    library, ours, side = LAYERS[name]
    ours.load_state_dict(library.state_dict())
    x = torch.rand(3, 6, side, side, generator=torch.Generator().manual_seed(0))

    def found(layer: nn.Module) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            out = layer.float()(x)
        return list(torch.autograd.grad(out.float().square().sum(), list(layer.parameters())))

    for mine, expected in zip(found(ours), found(library), strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(
            mine, expected, rtol=0.03, atol=0.03 * float(expected.abs().max())
        )
