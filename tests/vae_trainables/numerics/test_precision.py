"""What is computed in fewer bits, what is not, how far the figures move, and torch's switches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.vae_trainables.cohort.support import comparable, config, run_cohort, small_data, solo
from vae_trainables.cohort.fusion import fusion_key
from vae_trainables.config import Precision, TrialConfig
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.models import ModelOutput, linear
from vae_trainables.numerics import precision
from vae_trainables.numerics.precision import products
from vae_trainables.training.session import Session
from vae_trainables.training.trial import Trial, build_model

CPU = torch.device("cpu")
KINDS: list[str] = [
    "mlp_ae", "mlp_vae", "conv_ae", "conv_vae", "res_conv_vae", "cond_conv_vae", "hier_conv_vae"
]  # fmt: skip
HALF_ULP = 2.0**-9  # of bfloat16, relative: 8 bits of significand


def chosen(kind: str = "mlp_vae", **settings: object) -> TrialConfig:
    return config(kind, precision="bf16", noise_factor=0.3, blocks=1, **settings)


def test_products_are_those_of_rounded_factors() -> None:
    """Against float64: factors rounded to bfloat16, the sum exact but for its own rounding."""
    generator = torch.Generator().manual_seed(0)
    layer = linear.Linear(96, 80)
    x = torch.randn(32, 96, generator=generator)
    with products("bf16", CPU):
        found = layer(x)
    assert found.dtype == torch.bfloat16
    rounded = [t.detach().bfloat16().double() for t in (x, layer.weight, layer.bias)]
    exact = rounded[0] @ rounded[1].T + rounded[2]
    assert torch.allclose(found.double(), exact, rtol=2 * HALF_ULP, atol=2 * HALF_ULP)


def test_without_being_asked_for_nothing_is_lowered() -> None:
    with products("fp32", CPU):
        assert linear.Linear(96, 80)(torch.ones(2, 96)).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_latents_weights_and_losses_stay_float32(kind: str) -> None:
    trial = Trial(chosen(kind), small_data())
    seen: list[ModelOutput] = []
    inside: set[torch.dtype] = set()
    trial.model.register_forward_hook(lambda module, given, output: seen.append(output))
    for module in trial.model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(lambda module, given, output: inside.add(output.dtype))
    terms = trial._train_step(0, torch.arange(8))
    (output,) = seen
    assert inside == {torch.bfloat16}
    assert {t.dtype for t in (output.z_mean, output.z_logvar, output.kl, terms)} == {torch.float32}
    tensors, _ = trial.state()
    assert {t.dtype for t in tensors.values()} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_is_near_that_of_float32_and_not_the_same(kind: str) -> None:
    low = comparable(Trial(chosen(kind), small_data()).run_epoch())
    high = comparable(
        Trial(chosen(kind).model_copy(update={"precision": "fp32"}), small_data()).run_epoch()
    )
    assert low["train/loss"] != high["train/loss"]
    for name in ("train/recon", "val/recon", "val/mse", "val/psnr"):
        assert low[name] == pytest.approx(high[name], rel=0.01), name


def test_the_test_set_is_seen_by_the_model_as_it_is_published() -> None:
    low, high = chosen("conv_vae"), config("conv_vae")
    evaluator, model = Evaluator(small_data(), CPU), build_model(low)
    assert evaluator.test(model, low).figures == evaluator.test(model, high).figures
    assert evaluator.validate(model, low) != evaluator.validate(model, high)


def switches() -> tuple[Any, ...]:
    """All of torch's that bear on float32 products; the older names as far as torch tells them."""
    backends = torch.backends
    places = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    places += (backends.mkldnn.matmul, backends.mkldnn.conv)
    return tuple(place.fp32_precision for place in places)


def older() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(params=["torch's", "low", "place by place"])
def outside(request: pytest.FixtureRequest) -> Iterator[tuple[Any, ...]]:
    """Torch's switches as somebody may have them: as they come, turned down, or mixed."""
    before = precision._Switches.now()
    if request.param == "low":
        torch.set_float32_matmul_precision("medium")
    if request.param == "place by place":
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        torch.backends.cudnn.conv.fp32_precision = "ieee"
    yield switches()
    before.restore()
    assert precision._Switches.now() == before


@pytest.mark.parametrize(
    ("asked", "device", "fewer"),
    [("fp32", "cuda", False), ("bf16", "cuda", False), ("tf32", "cuda", True),
     ("fp32", "cpu", False), ("tf32", "cpu", False)],
)  # fmt: skip
def test_a_precision_sets_convolutions_and_products_alike_and_puts_all_back(
    outside: tuple[Any, ...], asked: Precision, device: str, fewer: bool
) -> None:
    with precision.arithmetic(asked, torch.device(device)):
        assert older() == (fewer, fewer)
        assert set(switches()[:3]) == {"tf32" if fewer else "ieee"}
        assert set(switches()[3:]) == {"ieee"}  # a CPU's own are never lowered
        with precision.arithmetic("fp32", CPU):
            assert older() == (False, False)
        assert older() == (fewer, fewer)
    assert switches() == outside
    with pytest.raises(RuntimeError), precision.arithmetic(asked, torch.device(device)):
        raise RuntimeError
    assert switches() == outside


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The switches are set as if this device were a GPU; on a CPU they then do nothing."""
    monkeypatch.setattr(precision, "effective", lambda asked, device: asked)


def watched(trial: Trial) -> list[tuple[bool, bool]]:
    """Torch's switches at every forward and backward pass of the trial's model."""
    seen: list[tuple[bool, bool]] = []
    trial.model.register_forward_hook(lambda *_: seen.append(older()))
    for parameter in trial.model.parameters():
        parameter.register_hook(lambda gradient: seen.append(older()))
    return seen


def test_a_trial_is_trained_validated_and_tested_in_the_bits_it_says(as_on_a_gpu: None) -> None:
    before = switches()
    for asked in ("fp32", "tf32"):
        trial = Trial(config("conv_vae", precision=asked, noise_factor=0.3), small_data())
        seen = watched(trial)
        trial.run_epoch()
        assert set(seen) == {(asked == "tf32", asked == "tf32")}
        seen.clear()
        trial.evaluator.robustness(trial.model, trial.config)
        assert set(seen) == {(False, False)}
        assert switches() == before


def test_a_cohorts_step_is_in_the_bits_it_says(as_on_a_gpu: None, tmp_path: Path) -> None:
    before, seen = switches(), []

    def watch(self: Any, gradients: Any, *rest: Any) -> None:
        seen.append(older())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae_trainables.cohort.adam.PerSlotAdam.step", watch)
        run_cohort({0: config(precision="tf32")}, tmp_path, slots=1, epochs=1)
    assert set(seen) == {(True, True)}
    assert switches() == before


def test_tf32_on_a_cpu_is_fp32_and_says_so(tmp_path: Path) -> None:
    records = []
    for asked in ("fp32", "tf32"):
        chosen = config("mlp_vae", precision=asked, noise_factor=0.3)
        session = Session(chosen, small_data(), tmp_path / asked, open_test=False)
        records.append(session.next_record())
    assert comparable(records[0].metrics) == comparable(records[1].metrics)
    assert [record.notes for record in records] == [[], ["tf32 is fp32 on cpu"]]


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_resuming_continues_bit_for_bit(kind: str, tmp_path: Path) -> None:
    whole = solo(chosen(kind), epochs=2)
    solo(chosen(kind), epochs=1).save(tmp_path)
    again = Trial(chosen(kind), small_data())
    assert again.resume(tmp_path) == []
    again.run_epoch()
    for name, value in whole.state()[0].items():
        assert torch.equal(again.state()[0][name], value), name


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae", "hier_conv_vae"])
def test_a_member_of_a_cohort_is_near_the_trial_alone(kind: str, tmp_path: Path) -> None:
    run = run_cohort({0: chosen(kind)}, tmp_path, slots=1, epochs=1)
    found = comparable(run.records[0][0].metrics)
    expected = comparable(solo(chosen(kind), epochs=1).history[0]["metrics"])
    for name in ("train/loss", "val/recon", "val/mse"):
        assert found[name] == pytest.approx(expected[name], rel=2e-3), name


def test_a_neighbour_changes_nothing(tmp_path: Path) -> None:
    mine, other = chosen(seed=1), chosen(seed=2, lr=5e-3)
    alone = run_cohort({0: mine}, tmp_path / "a", slots=2, epochs=1, first=mine)
    beside = run_cohort({0: mine, 1: other}, tmp_path / "b", slots=2, epochs=1)
    assert comparable(alone.records[0][0].metrics) == comparable(beside.records[0][0].metrics)


def test_other_precisions_do_not_share_a_cohort() -> None:
    low, high = fusion_key(chosen()), fusion_key(config(noise_factor=0.3))
    assert low != high
    assert low.differences(high) == ["precision: bf16, not fp32"]
