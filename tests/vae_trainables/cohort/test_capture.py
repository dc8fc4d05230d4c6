"""What a CUDA graph demands of the step, checked without a GPU on tensors that have no values.

A step that is to be captured must not look at a value, for its host code runs once, and must not
use the host's memory, which a replay would read when something else lies there.
"""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

from tests.vae_trainables.cohort import product
from tests.vae_trainables.cohort.product import DeviceOnly, HostMemoryError, traced
from tests.vae_trainables.cohort.support import config
from tests.vae_trainables.without_card import CARDS, Launch
from vae_trainables.cohort import Cohort, Ways, capture
from vae_trainables.cohort.layers import Convolution
from vae_trainables.config import TrialConfig

TERMS: list[dict[str, Any]] = [
    {},
    {"kind": "mlp_ae"},
    {"kind": "conv_vae"},
    {"kind": "conv_ae", "optimizer": "adamw"},
    {"supcon_gamma": 1.0, "free_bits": 0.1, "kl_target": 2.0},
    {"ssim_weight": 1.0, "edge_weight": 1.0, "recon_term": "l1"},
    {"likelihood": "sigma"},
    {"likelihood": "continuous_bernoulli", "noise_factor_max": 0.6},
    {"noise_kind": "salt_pepper"},
    {"noise_kind": "masking"},
]
EAGER = {"adam": "flat", "backend": "counter", "capture": False, "kernels": False, "proof": False}


def named(settings: dict[str, Any]) -> str:
    return "-".join(map(str, settings.values())) or "plain"


@pytest.mark.parametrize("convolution", ["grouped", "im2col"])
@pytest.mark.parametrize("settings", TERMS, ids=named)
def test_a_step_by_torchs_own_operations_stays_on_its_device(
    settings: dict[str, Any], convolution: Convolution
) -> None:
    chosen = config(**{"noise_factor": 0.3, **settings})
    assert traced(chosen, 3, Ways(convolution=convolution, **EAGER)) == set()


PART = product.steps() if product.FULL else product.part()


@pytest.fixture(scope="module")
def launches() -> set[Launch]:
    """Of all steps of the product; that they can be traced is asserted on the way."""
    made: set[Launch] = set()
    for chosen, slots in product.sized(PART):
        made |= traced(chosen, slots)
    return made


@pytest.mark.slow
def test_the_steps_of_all_studies_stay_on_their_device(launches: set[Launch]) -> None:
    kernels = {launch.kernel for launch in launches}
    assert kernels == {"fill_rows", "corrupt", "adam"}


@pytest.mark.slow
@pytest.mark.parametrize("card", CARDS)
def test_every_kernel_of_a_study_compiles_for_cards(card: int, launches: set[Launch]) -> None:
    assert all(launch.compile(card) > 1000 for launch in launches)


@pytest.mark.slow
def test_kernels_of_a_trial_alone_compile_for_cards() -> None:
    fills = {
        Launch("fill", (torch.float32, torch.int64, torch.int64, 7, 16), constants)
        for constants in ((("BLOCK", 256), ("NORMAL", True)), (("BLOCK", 256), ("NORMAL", False)))
    }
    assert all(launch.compile(card) > 1000 for launch in fills for card in CARDS)


@pytest.mark.parametrize("settings", TERMS[:4], ids=named)
@pytest.mark.parametrize("convolution", ["grouped", "im2col"])
def test_its_backward_looks_at_no_value_either(
    settings: dict[str, Any], convolution: Convolution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.Module, "to", lambda self, *args, **kwargs: self)
    with FakeTensorMode():
        chosen = config(**settings)
        ways = Ways(convolution=convolution, **EAGER)
        Cohort(chosen, product.data(chosen), slots=3, ways=ways)._lock_step.step()


def test_noise_that_looks_at_values_would_be_noticed() -> None:
    chosen = config(noise_factor=0.3, noise_kind="poisson")
    with pytest.raises(DynamicOutputShapeException):  # how many pixels are left is a value
        traced(chosen, 3, Ways(**EAGER))


def test_a_copy_from_the_host_would_be_noticed() -> None:
    with FakeTensorMode(), DeviceOnly(), pytest.raises(HostMemoryError):
        torch.zeros(3).to("cuda")


class FakeCuda:
    """torch.cuda as far as a capture uses it: notes on which device each call was made."""

    def __init__(self) -> None:
        self.current, self.calls = "cuda:0", list[tuple[str, str]]()

    @contextmanager
    def device(self, device: Any) -> Any:
        before, self.current = self.current, str(device)
        yield
        self.current = before

    @contextmanager
    def within(self, name: str) -> Any:
        self.calls.append((name, self.current))
        yield

    def noted(self, name: str) -> Any:
        return lambda *args, **kwargs: self.calls.append((name, self.current))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = SimpleNamespace(wait_stream=self.noted("wait"))
        graphs = iter(
            SimpleNamespace(
                replay=self.noted(f"replay {name}"),
                reset=self.noted("reset"),
                pool=lambda: "a pool",
            )
            for name in ("one", "several")
        )
        for name, fake in {
            "device": self.device,
            "Stream": lambda device: stream,
            "current_stream": lambda device: stream,
            "stream": lambda side: self.within("warm-up"),
            "synchronize": self.noted("synchronize"),
            "CUDAGraph": lambda: next(graphs),
            "graph": lambda graph, pool="its own": self.within(f"capture in {pool}"),
        }.items():
            monkeypatch.setattr(torch.cuda, name, fake)


def test_a_step_is_captured_and_replayed_on_its_own_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeCuda()
    fake.install(monkeypatch)
    step = capture.CapturedStep(fake.noted("step"), torch.device("cuda:1"))
    step()
    step(2 * capture.SEVERAL + 1)
    assert {device for _, device in fake.calls} == {"cuda:1"}
    made = [name for name, _ in fake.calls if name.startswith(("step", "capture", "replay"))]
    several = ["capture in a pool"] + ["step"] * capture.SEVERAL
    assert made == [
        *["step"] * capture.WARM_UP_STEPS, "capture in its own", "step", *several,
        "replay one", "replay several", "replay several", "replay one",
    ]  # fmt: skip
    assert fake.current == "cuda:0"
    step.release()
    assert fake.calls[-1][0] == "reset"


def test_a_configuration_of_the_product_is_one_that_a_trial_accepts() -> None:
    for chosen in product.steps():
        assert TrialConfig.model_validate(chosen.model_dump()) == chosen
