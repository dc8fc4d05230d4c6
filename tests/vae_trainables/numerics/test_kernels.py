"""The Triton kernels in Triton's interpreter, against what specifies them."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_trainables.without_card import interpreted
from vae_trainables.cohort.adam import FlatAdam, KernelAdam
from vae_trainables.cohort.bank import Bank
from vae_trainables.datasets import noise
from vae_trainables.numerics import fast, kernels, philox

SEEDS = torch.tensor([0, 3, 2**31 - 1])
TENSOR = torch.tensor
STEPS = torch.tensor([0, 2**32 - 1, 123_456])
SLOTS, B = len(SEEDS), 3


def close(mine: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 4, 77, 4099])
def test_uniform_numbers_are_the_same_bits(count: int) -> None:
    for stream in (1, 4):
        drawn = interpreted().uniform(SEEDS, stream, STEPS, count)
        assert torch.equal(drawn, philox.uniform(SEEDS, stream, STEPS, count))


@pytest.mark.parametrize("count", [1, 3, 4, 77, 4099])
def test_normal_numbers_are_the_same(count: int) -> None:
    for stream in (1, 4):
        drawn = interpreted().normal(SEEDS, stream, STEPS, count)
        close(drawn, philox.normal(SEEDS, stream, STEPS, count))


def test_one_trial_draws_without_a_dimension_of_slots() -> None:
    drawn = interpreted().uniform(SEEDS[1], 2, STEPS[1], 9)
    assert torch.equal(drawn, philox.uniform(SEEDS[1], 2, STEPS[1], 9))


def test_extreme_words_make_finite_normal_numbers() -> None:
    """All of 2**16 draws, whose radius words come within 2**-16 of both ends."""
    drawn = interpreted().normal(SEEDS[:1], 3, STEPS[:1], 2**16)
    assert drawn.isfinite().all()
    close(drawn, philox.normal(SEEDS[:1], 3, STEPS[:1], 2**16))


def test_latents_lie_in_rows_of_their_own_width() -> None:
    widths = torch.tensor([5, 0, 9])
    drawn = interpreted().normal_rows(SEEDS, 4, STEPS, widths, (B, 9))
    for slot, width in enumerate(widths.tolist()):
        own = philox.normal(SEEDS[slot], 4, STEPS[slot], B * width).view(B, width)
        close(drawn[slot, :, :width], own)
        assert not drawn[slot, :, width:].any()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 19)])
@pytest.mark.parametrize("ranged", [False, True])
@pytest.mark.parametrize("kind", ["gaussian", "salt_pepper", "masking"])
def test_noise_is_the_specified_one(kind: Any, ranged: bool, shape: tuple[int, int, int]) -> None:
    clean = torch.rand(SLOTS, B, *shape, generator=torch.Generator().manual_seed(0))
    factors, spans = torch.tensor([0.0, 0.25, 1.0]), torch.tensor([0.5, 0.25, 0.0])
    noisy = interpreted().corrupted(
        kind, clean, (SEEDS, STEPS), (2, 3), factors, spans if ranged else None
    )
    for slot in range(SLOTS):
        factor = factors[slot].expand(B)
        if ranged:
            factor = factor + spans[slot] * philox.uniform(SEEDS[slot], 3, STEPS[slot], B)
        draw = getattr(philox, noise.random_kind(kind))
        rand = draw(SEEDS[slot], 2, STEPS[slot], math.prod(clean.shape[1:]))
        own = noise.corrupt(
            kind, clean[slot], factor.view(B, 1, 1, 1), rand.view(clean[slot].shape)
        )
        torch.testing.assert_close(noisy[slot], own, rtol=1e-6, atol=2e-6)
        assert ranged or slot == 0 or not torch.equal(own, clean[slot])


def test_every_kind_of_noise_has_a_kernel_or_a_reason() -> None:
    assert set(noise.KINDS) - set(interpreted().NOISE_KINDS) == {"poisson"}


@pytest.mark.parametrize("rounded", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_moves_every_slot_as_the_flat_pass_does(decoupled: bool, rounded: bool) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(7, 45), torch.nn.Linear(45, 33))
    banks = [Bank(model, SLOTS, torch.device("cpu")) for _ in range(2)]
    for bank in banks:
        for slot in range(SLOTS):
            bank.load(slot, model, {})  # type: ignore[arg-type]
    ways = (
        FlatAdam(banks[0], decoupled=decoupled),
        KernelAdam(banks[1], interpreted(), decoupled=decoupled),
    )
    lr = torch.tensor([1e-3, 1e-1, 0.0], dtype=torch.float64)
    decay = torch.tensor([0.0, 0.3, 0.1], dtype=torch.float64)
    for step in range(12):
        if step == 5:
            banks[0].clear(2), banks[1].clear(2)  # a slot begins anew
        gradients = [torch.randn_like(tensor) for tensor in banks[0].parameters.values()]
        if rounded:
            gradients = [gradient.to(torch.bfloat16) for gradient in gradients]
        gradients[0] = gradients[0].mT.contiguous().mT  # as autograd may leave it
        for adam in ways:
            adam.step(gradients, lr, decay)
    for name in ("flat", "exp_avg", "exp_avg_sq", "steps"):
        close(getattr(banks[1], name), getattr(banks[0], name))


def test_a_cpu_has_no_kernels_and_no_trouble() -> None:
    assert fast.on(torch.device("cpu")) == fast.Fast(None)
    assert fast.draws(torch.device("cpu")) is philox


def test_nothing_in_the_product_is_left_to_a_compiler_of_torch() -> None:
    """torch.compile made one kernel of Philox by arithmetic that overflows 32 bits on a GPU."""
    root = Path(__file__).parents[3]
    sources = [*root.glob("vae_trainables/**/*.py"), *root.glob("studies/**/*.py")]
    assert len(sources) > 50
    assert [path for path in sources if "torch.compile(" in path.read_text()] == []


CUDA = torch.device("cuda")
PROBE = fast.on.__wrapped__


def test_where_numbers_are_the_same_a_gpu_gets_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_difference", lambda kernels, device: 1e-7)
    able = PROBE(CUDA)
    assert able.trouble == ""
    assert able.kernels is not None
    assert able.kernels.__name__ == "vae_trainables.numerics.kernels"


@pytest.mark.parametrize("difference", [0.1, math.nan])
def test_other_numbers_are_a_reason_to_do_without(
    difference: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "_difference", lambda kernels, device: difference)
    able = PROBE(CUDA)
    assert able.kernels is None
    assert "differ by" in able.trouble


def test_a_machine_without_a_compiler_is_told_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def launch(*arguments: object, **constants: object) -> None:
        raise RuntimeError("Failed to find C compiler. Please specify via CC.\nsecond line")

    monkeypatch.setattr(kernels, "launch", launch)
    monkeypatch.setattr(torch, "tensor", lambda values, device: TENSOR(values))
    able = PROBE(CUDA)
    assert able.kernels is None
    assert able.trouble == "RuntimeError: Failed to find C compiler. Please specify via CC."


def test_a_machine_without_triton_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vae_trainables.numerics.kernels", None)
    monkeypatch.delattr("vae_trainables.numerics.kernels")
    assert PROBE(CUDA).trouble.startswith(("ModuleNotFoundError", "ImportError"))


def test_the_probe_compares_the_kernels_with_their_specification(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fast._difference(interpreted(), torch.device("cpu")) < fast._TOLERANCE
    monkeypatch.setattr(interpreted(), "_TURN", interpreted().tl.constexpr(1e-9))
    assert fast._difference(interpreted(), torch.device("cpu")) > 0.1
