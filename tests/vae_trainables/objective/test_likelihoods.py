"""Likelihoods: against torch.distributions, as densities, and where floating point is thin."""

from __future__ import annotations

import math
import typing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, distributions

from vae_trainables.config import LikelihoodKind, ModelConfig
from vae_trainables.objective import likelihoods

KINDS: tuple[LikelihoodKind, ...] = typing.get_args(LikelihoodKind)
SHAPE = (3, 2, 4, 5)


def build(kind: LikelihoodKind, std: float = 0.3) -> likelihoods.Likelihood:
    return likelihoods.build(ModelConfig(likelihood=kind, gaussian_std=std))


def example(scale: float = 3.0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(SHAPE, generator=generator, dtype=dtype)
    return logits, torch.rand(SHAPE, generator=generator, dtype=dtype)


def summed_nll(distribution: distributions.Distribution, target: Tensor) -> Tensor:
    return -distribution.log_prob(target).flatten(1).sum(1)


def test_bernoulli_equals_torch_distributions() -> None:
    logits, target = example()
    reference = distributions.Bernoulli(logits=logits, validate_args=False)
    torch.testing.assert_close(
        build("bernoulli").nll(logits, target), summed_nll(reference, target)
    )
    torch.testing.assert_close(build("bernoulli").mean(logits), reference.mean)


def test_bernoulli_of_grey_targets_is_lowest_at_their_entropy() -> None:
    _, target = example()
    entropy = distributions.Bernoulli(probs=target).entropy().flatten(1).sum(1)
    nll = build("bernoulli").nll
    torch.testing.assert_close(nll(torch.logit(target), target), entropy)
    assert (nll(torch.logit(target) + 0.01, target) > entropy).all()


@pytest.mark.parametrize("scale", [1e-4, 0.1, 3.0])
def test_continuous_bernoulli_equals_torch_distributions(scale: float) -> None:
    logits, target = example(scale)
    reference = distributions.ContinuousBernoulli(logits=logits)
    torch.testing.assert_close(
        build("continuous_bernoulli").nll(logits, target),
        summed_nll(reference, target),
        rtol=1e-6,
        atol=1e-6,
    )
    torch.testing.assert_close(
        build("continuous_bernoulli").mean(logits), reference.mean, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("logit", [-12.0, -0.2501, -0.2499, -1e-9, 0.0, 1e-3, 0.2499, 0.2501, 7.0])
def test_continuous_bernoulli_is_a_density_with_the_stated_mean(logit: float) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x, weight = torch.from_numpy(0.5 * (nodes + 1)), torch.from_numpy(0.5 * weights)
    logits = torch.full_like(x, logit)
    likelihood = build("continuous_bernoulli")
    density = torch.exp(-likelihood.nll(logits[:, None, None, None], x[:, None, None, None]))
    assert (density * weight).sum().item() == pytest.approx(1, abs=1e-11)
    mean = likelihood.mean(logits)[0].item()
    assert (density * x * weight).sum().item() == pytest.approx(mean, abs=1e-11)


def test_continuous_bernoulli_keeps_float32_digits_around_one_half() -> None:
    logits = torch.cat([torch.logspace(-8, 2, 400), torch.tensor([0.0])])
    logits = torch.cat([logits, -logits])
    for function in (
        likelihoods.continuous_bernoulli_log_normalizer,
        likelihoods.continuous_bernoulli_mean,
    ):
        single, double = logits.clone().requires_grad_(), logits.double().requires_grad_()
        value, exact = function(single), function(double)
        torch.testing.assert_close(value.double(), exact, rtol=2e-6, atol=2e-6)
        (grad,) = torch.autograd.grad(value.sum(), single)
        (exact_grad,) = torch.autograd.grad(exact.sum(), double)
        torch.testing.assert_close(grad.double(), exact_grad, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("std", [0.05, 1.0, 2.5])
def test_gaussian_equals_torch_distributions(std: float) -> None:
    logits, target = example()
    reference = distributions.Normal(torch.sigmoid(logits), std)
    torch.testing.assert_close(
        build("gaussian", std).nll(logits, target), summed_nll(reference, target)
    )


def test_sigma_is_the_gaussian_with_the_best_std_for_the_batch() -> None:
    logits, target = example()
    best_std = (torch.sigmoid(logits) - target).square().mean().sqrt().item()
    nll = build("sigma").nll(logits, target)
    torch.testing.assert_close(nll, likelihoods.Gaussian(best_std).nll(logits, target))
    for other in (0.9 * best_std, 1.1 * best_std):
        assert likelihoods.Gaussian(other).nll(logits, target).mean() > nll.mean()


def test_sigma_gradient_is_that_of_half_the_pixels_times_log_mse() -> None:
    logits, target = example()
    logits.requires_grad_()
    (found,) = torch.autograd.grad(build("sigma").nll(logits, target).mean(), logits)
    mse = (torch.sigmoid(logits) - target).square().mean()
    (expected,) = torch.autograd.grad(0.5 * target[0].numel() * mse.log(), logits)
    torch.testing.assert_close(found, expected)


def test_sigma_of_a_perfect_reconstruction_stays_finite() -> None:
    logits, _ = example()
    logits.requires_grad_()
    nll = build("sigma").nll(logits, torch.sigmoid(logits).detach())
    floor = math.log(likelihoods.SMALLEST_STD * math.sqrt(2 * math.pi)) * math.prod(SHAPE[1:])
    torch.testing.assert_close(nll.detach(), torch.full((SHAPE[0],), floor, dtype=torch.float64))
    (grad,) = torch.autograd.grad(nll.sum(), logits)
    assert torch.equal(grad, torch.zeros_like(grad))


@pytest.mark.parametrize("kind", KINDS)
def test_settled_nll_of_an_image_ignores_its_batch(kind: LikelihoodKind) -> None:
    logits, target = example()
    likelihood = build(kind)
    mse = (likelihood.mean(logits) - target).square().mean().item()
    settled = likelihood.settled(mse)
    together = settled.nll(logits, target)
    alone = torch.cat([settled.nll(logits[i : i + 1], target[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together, likelihood.nll(logits, target))


def test_settled_sigma_respects_the_floor() -> None:
    assert build("sigma").settled(0.0) == likelihoods.Gaussian(likelihoods.SMALLEST_STD)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_nll_and_mean_are_right(kind: LikelihoodKind) -> None:
    logits, target = example()
    logits[0, 0, 0] = torch.tensor([0.0, 0.1, -0.2, 0.3, -1e-6])  # the Taylor region, too
    logits.requires_grad_()
    target.requires_grad_()
    likelihood = build(kind)
    assert torch.autograd.gradcheck(likelihood.nll, (logits, target))
    assert torch.autograd.gradcheck(likelihood.mean, (logits,))


@settings(deadline=None)
@given(
    st.sampled_from(KINDS),
    st.tuples(st.integers(1, 4), st.sampled_from([1, 3]), st.integers(1, 8), st.integers(1, 8)),
    st.floats(0, 200),
    st.integers(0, 2**31),
)
def test_mean_is_an_image_and_nll_one_finite_number_per_image(
    kind: LikelihoodKind, shape: tuple[int, ...], scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(shape, generator=generator)
    target = torch.rand(shape, generator=generator)
    mean, nll = build(kind).mean(logits), build(kind).nll(logits, target)
    assert mean.shape == shape
    assert 0 <= mean.min() <= mean.max() <= 1
    assert nll.shape == shape[:1]
    assert nll.isfinite().all()
