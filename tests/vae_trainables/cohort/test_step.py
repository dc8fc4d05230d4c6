"""The timetable of an epoch, and the formulas that only a GPU's step uses, here on a CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.vae_trainables.cohort.support import (
    Run,
    assert_same_bits,
    config,
    run_cohort,
    small_data,
    varied,
)
from vae_trainables.cohort import Cohort, Ways
from vae_trainables.cohort.step import Timetable
from vae_trainables.models import gaussians

FLAT = Ways(adam="flat")


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_each_step_fetches_its_own_row_and_the_last_leads_to_the_first(slots: int) -> None:
    steps, batch = 3, 4
    generator = torch.Generator().manual_seed(0)
    order = torch.randint(0, 99, (steps, slots, batch), generator=generator)
    lr = torch.rand(steps, slots, dtype=torch.float64, generator=generator)
    beta = torch.rand(steps, slots, generator=generator)
    table = Timetable(slots, batch, steps, torch.device("cpu"))
    table.lay_out(order, order + 1, lr, beta)
    for step in (0, 1, 2, 0):
        images, labels, rate, weight = table.fetch()
        assert torch.equal(images.view(slots, batch), order[step])
        assert torch.equal(labels.view(slots, batch), order[step] + 1)
        assert torch.equal(rate, lr[step])
        assert torch.equal(weight, beta[step])


def test_the_fused_posterior_is_the_two_formulas() -> None:
    mean, logvar = (torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in "12")
    inputs = [mean, logvar]
    eps = torch.randn(5, 3, dtype=torch.float64)
    z, kl, *_ = gaussians._Sampled.apply(*inputs, eps)
    torch.testing.assert_close(z, gaussians.reparameterize(mean, logvar, eps))
    torch.testing.assert_close(kl, gaussians.kl_divergence(mean, logvar))
    assert torch.autograd.gradcheck(lambda *x: gaussians._Sampled.apply(*x, eps)[:2], inputs)
    (alone,) = torch.autograd.grad(z.sum(), inputs[:1])  # one of the two unused
    assert torch.equal(alone, torch.ones_like(alone))


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae", "mlp_ae"])
def test_weights_rounded_at_once_train_as_those_that_autocast_rounds(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = dict(enumerate(varied(kind, 2, precision="bf16")))

    def trained(name: str) -> Run:
        return run_cohort(configs, tmp_path / name, slots=2, epochs=2, ways=FLAT)

    at_once = trained("at once")
    assert at_once.cohort._lock_step.rounds_once
    monkeypatch.setattr(Cohort, "_rounds_once", lambda self, forward: False)
    one_by_one = trained("one by one")
    for slot in configs:
        assert_same_bits(at_once.members[slot], one_by_one.members[slot])


def test_weights_are_rounded_at_once_only_where_all_are() -> None:
    def rounds(kind: str = "conv_vae", ways: Ways = FLAT, **settings: Any) -> bool:
        made = Cohort(config(kind, **settings), small_data(), slots=2, ways=ways)
        return made._lock_step.rounds_once

    assert rounds(precision="bf16")
    assert not rounds()
    assert not rounds(precision="bf16", ways=Ways())
    assert not rounds(precision="bf16", ways=replace(FLAT, convolution="im2col"))
    assert not rounds("res_conv_vae", precision="bf16")  # norms take float32
