"""The timetable of an epoch, and the formulas that only a GPU's step uses, here on a CPU."""

from __future__ import annotations

import pytest
import torch

from vae_trainables.cohort.step import Timetable
from vae_trainables.models import gaussians


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
