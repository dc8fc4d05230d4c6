"""Stacked Adam against torch's fused optimizers, one per slot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vae_trainables.cohort.adam import FlatAdam, PerSlotAdam
from vae_trainables.cohort.bank import Bank

SLOTS, STEPS = 3, 40
LR = (1e-3, 1e-1, 3e-5)
DECAY = (0.0, 1e-2, 0.3)
BORN = (0, 5, 17)  # the step at which a slot's optimizer begins: other slots are older then


def models() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 33)) for _ in range(SLOTS)]


def optimizer(model: nn.Module, slot: int, *, decoupled: bool) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    return kind(model.parameters(), lr=LR[slot], weight_decay=DECAY[slot], fused=True)


def gradients(step: int, bank: Bank) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    scale = 10.0 ** (step % 5 - 3)
    return [
        scale * torch.randn(tensor.shape, generator=generator)
        for tensor in bank.parameters.values()
    ]


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("way", ["per_slot", "flat"])
def test_each_slot_moves_as_under_torchs_own_optimizer(way: str, decoupled: bool) -> None:
    alone = models()
    optimizers = [optimizer(model, k, decoupled=decoupled) for k, model in enumerate(alone)]
    bank = Bank(alone[0], SLOTS, torch.device("cpu"))
    adam = (
        PerSlotAdam(bank, decoupled=decoupled)
        if way == "per_slot"
        else FlatAdam(bank, decoupled=decoupled)
    )
    lr, decay = torch.zeros(SLOTS, dtype=torch.float64), torch.tensor(DECAY, dtype=torch.float64)
    for step in range(STEPS):
        for slot in range(SLOTS):
            if step == BORN[slot]:
                bank.load(slot, alone[slot], optimizers[slot].state)
                lr[slot] = LR[slot]
        stacked = gradients(step, bank)
        adam.step(stacked, lr, decay)
        for slot in range(SLOTS):
            if step >= BORN[slot]:
                for parameter, gradient in zip(alone[slot].parameters(), stacked, strict=True):
                    parameter.grad = gradient[slot]
                optimizers[slot].step()
    exact = way == "per_slot"
    for slot, model in enumerate(alone):
        for parameter, whole in zip(model.parameters(), bank.parameters.values(), strict=True):
            tolerance = 0.0 if exact else 1e-5
            torch.testing.assert_close(
                whole[slot], parameter, rtol=tolerance, atol=tolerance * LR[slot]
            )
        state = optimizers[slot].state[next(model.parameters())]
        assert bank.steps[slot] == state["step"] == STEPS - BORN[slot]


@pytest.mark.parametrize("decoupled", [False, True])
def test_what_is_zero_and_gets_no_gradient_stays_zero(decoupled: bool) -> None:
    bank = Bank(nn.Linear(4, 4), 1, torch.device("cpu"))
    adam = FlatAdam(bank, decoupled=decoupled)
    one = torch.ones(1, dtype=torch.float64)
    for _ in range(5):
        adam.step([torch.zeros(1, 4, 4), torch.ones(1, 4)], one, one)
    assert not bank.parameters["weight"].any()
    assert bank.parameters["bias"].all()


@pytest.mark.parametrize("way", ["per_slot", "flat"])
def test_a_nan_gradient_stays_in_its_slot(way: str) -> None:
    bank = Bank(nn.Linear(4, 4), 2, torch.device("cpu"))
    adam = (
        PerSlotAdam(bank, decoupled=False) if way == "per_slot" else FlatAdam(bank, decoupled=False)
    )
    broken = [torch.ones(2, 4, 4), torch.ones(2, 4)]
    broken[0][1] = torch.nan
    rate = torch.ones(2, dtype=torch.float64)
    adam.step(broken, rate, rate * 0)
    assert bank.flat[0].isfinite().all()
    assert bank.flat[1].isnan().any()
