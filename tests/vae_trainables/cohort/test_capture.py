"""What a CUDA graph demands of the step, checked without a GPU on tensors that have no values.

A step that is to be captured must not look at a value, for its host code runs once, and must not
use the host's memory, which a replay would read when something else lies there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.vae_trainables.cohort.support import config
from vae_trainables import metrics, models
from vae_trainables.cohort import Cohort, Ways, cohort, fusion
from vae_trainables.cohort.layers import Convolution
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.models import Autoencoder

STEPS: list[dict[str, Any]] = [
    {},
    {"kind": "mlp_ae"},
    {"kind": "conv_vae"},
    {"kind": "conv_ae", "optimizer": "adamw"},
    {"kind": "res_conv_vae", "blocks": 1},
    {"kind": "cond_conv_vae"},
    {"kind": "hier_conv_vae", "blocks": 1},
    {"supcon_gamma": 1.0, "free_bits": 0.1, "kl_target": 2.0},
    {"ssim_weight": 1.0, "edge_weight": 1.0, "recon_term": "l1"},
    {"likelihood": "sigma"},
    {"likelihood": "continuous_bernoulli", "noise_factor_max": 0.6},
    {"noise_kind": "salt_pepper"},
    {"noise_kind": "masking"},
]


class HostMemoryError(Exception):
    """An operation moved a tensor between the host and the device."""


class DeviceOnly(TorchDispatchMode):
    """Refuses operations that take a tensor from the host and give one on the device, or back.

    A number of the host, which has no dimensions, travels in the kernel's arguments.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        taken, given = (
            {t.device.type for t in tree_leaves(tree) if isinstance(t, Tensor) and t.dim() > 0}
            for tree in ((args, kwargs), result)
        )
        if len(taken | given) > 1:
            raise HostMemoryError(f"{func}: {taken} -> {given}")
        return result


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors on a GPU that is not there; only autograd's threads need a real one."""

    def build_model(chosen: TrialConfig) -> Autoencoder:
        with torch.device("cuda"):
            return models.build(chosen)

    monkeypatch.setattr(fusion, "obstacle", lambda chosen: "")  # tried with real tensors elsewhere

    def gradients(loss: Tensor, weights: list[Tensor], ones: Tensor) -> list[Tensor]:
        assert loss.requires_grad
        return [torch.zeros_like(weight) for weight in weights]

    monkeypatch.setattr(cohort, "build_model", build_model)
    monkeypatch.setattr(nn.Module, "to", lambda self, *args, **kwargs: self)
    monkeypatch.setattr(torch.autograd, "grad", gradients)
    metrics._gaussian_band.cache_clear()
    yield
    metrics._gaussian_band.cache_clear()


def fake_cohort(chosen: TrialConfig, device: str, convolution: Convolution = "grouped") -> Cohort:
    split = Split(torch.zeros(64, 1, 28, 28, dtype=torch.uint8), torch.zeros(64).long())
    slots = 3
    ways = Ways(
        convolution=convolution, adam="flat", backend="counter", capture=False, compiled=False
    )
    return Cohort(chosen, TrialData(split, split), slots=slots, device=device, ways=ways)


@pytest.mark.parametrize("convolution", ["grouped", "im2col"])
@pytest.mark.parametrize("settings", STEPS, ids=lambda settings: "-".join(settings) or "plain")
@pytest.mark.usefixtures("fake_gpu")
def test_a_step_stays_on_its_device(settings: dict[str, Any], convolution: Convolution) -> None:
    with FakeTensorMode():
        chosen = config(**{"noise_factor": 0.3, **settings})
        made = fake_cohort(chosen, "cuda", convolution)
        made._lock_step.step()  # libraries and constants of the host settle, as in the warm-up
        with DeviceOnly():
            made._lock_step.step()


@pytest.mark.parametrize("settings", STEPS[:4], ids=lambda settings: "-".join(settings) or "plain")
@pytest.mark.parametrize("convolution", ["grouped", "im2col"])
def test_its_backward_looks_at_no_value_either(
    settings: dict[str, Any], convolution: Convolution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.Module, "to", lambda self, *args, **kwargs: self)
    with FakeTensorMode():
        fake_cohort(config(**settings), "cpu", convolution)._lock_step.step()


@pytest.mark.usefixtures("fake_gpu")
def test_noise_that_looks_at_values_would_be_noticed() -> None:
    with FakeTensorMode():
        made = fake_cohort(config(noise_factor=0.3, noise_kind="poisson"), "cuda")
        with pytest.raises(DataDependentOutputException):
            made._lock_step.step()


@pytest.mark.usefixtures("fake_gpu")
def test_a_copy_from_the_host_would_be_noticed() -> None:
    with FakeTensorMode(), DeviceOnly(), pytest.raises(HostMemoryError):
        torch.zeros(3).to("cuda")
