"""The trial's Adam against torch's own, bit for bit."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from vae_trainables.training.adam import Adam

STEPS = 7


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 5, 4), nn.Flatten(), nn.Linear(125, 7), nn.Linear(7, 2))
    return layers.to(memory_format=torch.channels_last)


def loss(model: nn.Module, step: int) -> Tensor:
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
    value: Tensor = model(images).square().sum()
    return value


def ours(model: nn.Module, *, decoupled: bool) -> Adam:
    return Adam(model.parameters(), lr=1e-2, weight_decay=0.1, decoupled=decoupled)


@pytest.mark.parametrize("decoupled", [False, True])
def test_it_moves_as_torchs_fused_optimizer(decoupled: bool) -> None:
    mine, theirs = network(), network()
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    expected = kind(theirs.parameters(), lr=1e-2, weight_decay=0.1, fused=True)
    found = ours(mine, decoupled=decoupled)
    for step in range(STEPS):
        found.lr = expected.param_groups[0]["lr"] = 1e-2 / (step + 1)
        for model, optimizer in ((mine, found), (theirs, expected)):
            optimizer.zero_grad()
            loss(model, step).backward()
            optimizer.step()
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)
            for name in ("step", "exp_avg", "exp_avg_sq"):
                assert torch.equal(found.state[a][name], expected.state[b][name])
                assert found.state[a][name].stride() == expected.state[b][name].stride()


def test_it_goes_on_from_its_tensors_in_another_memory_layout() -> None:
    def trained(model: nn.Module, optimizer: Adam, steps: range) -> list[Tensor]:
        for step in steps:
            optimizer.zero_grad()
            loss(model, step).backward()
            optimizer.step()
        return [parameter.detach().clone() for parameter in model.parameters()]

    whole = network()
    expected = trained(whole, ours(whole, decoupled=False), range(STEPS))
    first, second = network(), network()
    optimizer, successor = ours(first, decoupled=False), ours(second, decoupled=False)
    trained(first, optimizer, range(3))
    second.load_state_dict(first.state_dict())
    successor.load({name: t.contiguous() for name, t in optimizer.tensors().items()}.items())
    assert all(map(torch.equal, trained(second, successor, range(3, STEPS)), expected))


def test_a_parameter_without_a_gradient_stays_and_has_no_state() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Adam([used, unused], lr=0.1, weight_decay=0.1, decoupled=True)
    used.sum().backward()
    optimizer.step()
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(used, torch.ones(2))
    assert {name.split("/")[1] for name in optimizer.tensors()} == {"0"}


def test_an_epoch_does_not_import_torchs_compiler() -> None:
    program = """
import sys, torch
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split
from vae_trainables.training.trial import Trial
from vae_trainables.datasets.splits import TrialData
split = Split(torch.zeros(64, 1, 28, 28, dtype=torch.uint8), torch.arange(64) % 10)
config = TrialConfig(kind="conv_vae", epochs=1, batch_size=32, supcon_gamma=1.0)
Trial(config, TrialData(split, split)).run_epoch()
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
