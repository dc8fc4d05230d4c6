"""Wide linear layers against torch's, whichever library multiplies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from vae_trainables.models import linear
from vae_trainables.models.linear import Linear


def pair(fan_in: int, fan_out: int) -> tuple[Linear, nn.Linear]:
    torch.manual_seed(0)
    ours, library = Linear(fan_in, fan_out), nn.Linear(fan_in, fan_out)
    library.load_state_dict(ours.state_dict())
    return ours, library


@pytest.mark.parametrize(
    ("batch", "fan_in", "fan_out"), [(128, 784, 400), (1, 400, 784), (7, 9, 5)]
)
def test_value_and_gradients_are_the_librarys(batch: int, fan_in: int, fan_out: int) -> None:
    x = torch.randn(batch, fan_in)

    def found(layer: nn.Module) -> list[Tensor]:
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        return [out, *torch.autograd.grad(out.square().sum(), [leaf, *layer.parameters()])]

    for ours, expected in zip(*map(found, pair(fan_in, fan_out)), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-3)


def test_a_row_does_not_depend_on_the_others() -> None:
    layer, _ = pair(784, 400)
    x = torch.randn(500, 784)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x)[:9], layer(x[:9]), rtol=1e-5, atol=1e-5)


def test_double_precision_is_left_to_the_library() -> None:
    layer, library = (each.double() for each in pair(784, 400))
    x = torch.randn(3, 784, dtype=torch.float64)
    assert not linear.takes(x, layer.weight)
    assert torch.equal(layer(x), library(x))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_an_ensemble_under_vmap_is_its_members() -> None:
    members = [Linear(100, 80) for _ in range(3)]
    x = torch.randn(5, 100)
    parameters, _ = stack_module_state(members)  # type: ignore[arg-type]

    def loss(own: dict[str, Tensor]) -> Tensor:
        value: Tensor = functional_call(members[0], own, (x,)).square().sum()
        return value

    together = vmap(grad(loss))(parameters)
    for i, member in enumerate(members):
        for name, found in grad(loss)(dict(member.named_parameters())).items():
            torch.testing.assert_close(together[name][i], found, rtol=1e-4, atol=1e-3)
