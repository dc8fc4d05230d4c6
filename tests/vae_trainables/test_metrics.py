"""Metrics: against scikit-image, torchmetrics, closed forms and figures measured elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import Tensor, distributions
from torch.autograd import gradcheck
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as torchmetrics_psnr,
)
from torchmetrics.functional.image import (
    structural_similarity_index_measure as torchmetrics_ssim,
)

from tests.vae_trainables.real_data import fashion_mnist
from vae_trainables import metrics, models
from vae_trainables.config import ModelConfig
from vae_trainables.evaluation import bounds
from vae_trainables.models import Autoencoder, ModelOutput
from vae_trainables.objective import likelihoods

PER_IMAGE = [metrics.mse, metrics.psnr, metrics.ssim, metrics.bernoulli_excess]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    """Float32 images with flat, dark and smooth regions, as photographs and clothes have them."""
    coarse = torch.rand((*shape[:2], 4, 4), generator=seeded(seed))
    large = torch.nn.functional.interpolate(coarse, shape[2:], mode="bilinear")
    return (1.6 * large - 0.5).clamp(0, 1)


def noisy(images: Tensor, deviation: float, seed: int = 1) -> Tensor:
    return (images + deviation * torch.randn(images.shape, generator=seeded(seed))).clamp(0, 1)


def skimage_ssim(pred: Tensor, target: Tensor) -> Tensor:
    """In float64, image by image."""
    found = [
        structural_similarity(
            p.double().numpy(),
            t.double().numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
        )
        for p, t in zip(pred, target, strict=True)
    ]
    return torch.tensor(found)


# MSE and PSNR


def test_mse_and_psnr_equal_scikit_image() -> None:
    clean = pictures(6, 3, 20, 17)
    bad = noisy(clean, 0.3)
    pairs = [(c.double().numpy(), b.double().numpy()) for c, b in zip(clean, bad, strict=True)]
    mse = torch.tensor([mean_squared_error(c, b) for c, b in pairs])
    psnr = torch.tensor([peak_signal_noise_ratio(c, b, data_range=1.0) for c, b in pairs])
    torch.testing.assert_close(metrics.mse(bad, clean).double(), mse, rtol=1e-6, atol=0)
    torch.testing.assert_close(metrics.psnr(bad, clean).double(), psnr, rtol=1e-6, atol=0)


def test_psnr_equals_torchmetrics_image_by_image() -> None:
    clean = pictures(6, 1, 28, 28)
    bad = noisy(clean, 0.45)
    reference = torchmetrics_psnr(bad, clean, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(metrics.psnr(bad, clean), reference, rtol=1e-6, atol=0)


def test_psnr_of_identical_images_is_the_cap_so_that_means_stay_finite() -> None:
    clean = pictures(2, 1, 16, 16)
    assert metrics.psnr(clean, clean).tolist() == [metrics.PSNR_CAP, metrics.PSNR_CAP]


# SSIM


@pytest.mark.parametrize("shape", [(1, 11, 11), (1, 28, 28), (3, 16, 41), (1, 64, 64)])
@pytest.mark.parametrize("change", ["noise", "hair", "flat", "inverse", "bright"])
def test_ssim_of_float32_images_equals_scikit_image_in_float64(
    shape: tuple[int, int, int], change: str
) -> None:
    clean = pictures(5, *shape)
    other = {
        "noise": noisy(clean, 0.45),
        "hair": noisy(clean, 1e-3),
        "flat": torch.full_like(clean, 0.83),
        "inverse": 1 - clean,
        "bright": 1 - 0.2 * clean,
    }[change]
    found = metrics.ssim(other, clean)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), skimage_ssim(other, clean), rtol=0, atol=1e-6)


def test_ssim_equals_torchmetrics_where_its_window_lies_inside_the_image() -> None:
    clean = pictures(4, 1, 28, 28).double()
    bad = noisy(clean.float(), 0.45).double()
    _, maps = torchmetrics_ssim(
        bad, clean, data_range=1.0, reduction="none", return_full_image=True
    )
    reference = maps[..., 5:-5, 5:-5].mean((1, 2, 3))
    torch.testing.assert_close(metrics.ssim(bad, clean), reference, rtol=0, atol=1e-6)


@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 2))
def test_ssim_lies_between_minus_one_and_one(seed: int, scale: float, deviation: float) -> None:
    clean = scale * pictures(2, 1, 16, 16, seed=seed)
    value = metrics.ssim(noisy(clean, deviation, seed), clean)
    assert (value.abs() <= 1 + 1e-6).all()


def test_ssim_of_identical_images_is_one() -> None:
    clean = pictures(2, 1, 28, 28)
    assert metrics.ssim(clean, clean).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("metric", [metrics.mse, metrics.psnr, metrics.ssim])
def test_gradient_of_image_metrics_is_exact(metric: Any) -> None:
    target = pictures(2, 1, 12, 13).double()
    pred = torch.rand(target.shape, generator=seeded(3), dtype=torch.float64)
    assert gradcheck(metric, (pred.requires_grad_(), target))


def test_gradient_of_ssim_is_finite_where_images_are_equal_and_flat() -> None:
    target = torch.zeros(1, 1, 16, 16)
    pred = target.clone().requires_grad_()
    metrics.ssim(pred, target).sum().backward()  # type: ignore[no-untyped-call]
    assert pred.grad is not None
    assert pred.grad.isfinite().all()


def test_ssim_of_an_image_smaller_than_any_window_names_the_size() -> None:
    small = torch.zeros(1, 1, 2, 28)
    with pytest.raises(ValueError, match="got 2x28"):
        metrics.ssim(small, small)


def test_ssim_of_small_images_takes_the_longest_window_that_fits() -> None:
    image = torch.rand(2, 3, 8, 28, generator=torch.Generator().manual_seed(0))
    assert metrics.ssim(image, image).tolist() == pytest.approx([1, 1])
    assert (metrics.ssim(image, image.flip(-1)) < 0.9).all()


@pytest.mark.parametrize("metric", [metrics.mse, metrics.psnr, metrics.ssim])
def test_images_that_would_broadcast_are_refused(metric: Any) -> None:
    with pytest.raises(ValueError, match=r"\(2, 1, 16, 16\) and \(1, 1, 16, 16\)"):
        metric(torch.zeros(2, 1, 16, 16), torch.zeros(1, 1, 16, 16))


@pytest.mark.parametrize("metric", PER_IMAGE)
def test_metrics_depend_neither_on_batch_size_nor_on_order(metric: Any) -> None:
    clean = pictures(600, 1, 28, 28)
    bad = noisy(clean, 0.3)
    whole = metric(bad, clean)
    order = torch.randperm(600, generator=seeded(5))
    shuffled = metric(bad[order], clean[order])
    singly = torch.cat([metric(bad[i : i + 7], clean[i : i + 7]) for i in range(0, 600, 7)])
    torch.testing.assert_close(shuffled, whole[order], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(singly, whole, rtol=1e-6, atol=1e-6)


# Bernoulli floor


def test_entropy_of_grey_pixels_equals_torch_distributions() -> None:
    images = pictures(4, 1, 16, 16)
    reference = distributions.Bernoulli(images.double()).entropy().flatten(1).sum(1)
    torch.testing.assert_close(
        metrics.bernoulli_entropy(images).double(), reference, rtol=1e-5, atol=1e-6
    )


def test_entropy_of_black_and_white_is_zero() -> None:
    assert metrics.bernoulli_entropy(torch.eye(16)[None, None]).tolist() == [0.0]


def test_excess_is_zero_at_the_target_and_the_divergence_elsewhere() -> None:
    target = 0.05 + 0.9 * pictures(3, 1, 16, 16).double()
    other = torch.randn(target.shape, generator=seeded(2), dtype=torch.float64)
    zero = metrics.bernoulli_excess(torch.logit(target), target)
    reference = distributions.kl_divergence(
        distributions.Bernoulli(target), distributions.Bernoulli(logits=other)
    )
    torch.testing.assert_close(zero, torch.zeros(3).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(metrics.bernoulli_excess(other, target), reference.flatten(1).sum(1))


@pytest.mark.slow
def test_entropy_floor_of_the_fashion_mnist_test_set_is_the_known_one() -> None:
    images = fashion_mnist("test").images.float() / 255
    assert float(metrics.bernoulli_entropy(images).double().mean()) == pytest.approx(
        189.86, abs=0.005
    )


# Latent dimensions


def test_kl_per_dimension_is_the_mean_over_images() -> None:
    kl = torch.tensor([[1.0, 0.0], [3.0, 0.5]])
    assert metrics.kl_per_dimension(kl).tolist() == [2.0, 0.25]


def test_active_units_counts_dimensions_by_the_population_variance() -> None:
    swing = torch.tensor([-1.0, 1.0])[:, None]
    z_mean = torch.cat([0.2 * swing, 0.0999 * swing, 0.0 * swing + 7], dim=1)
    assert metrics.active_units(z_mean) == 1
    assert metrics.active_units(z_mean, threshold=0.009) == 2
    assert metrics.active_units(z_mean, threshold=0.0) == 3


def test_active_units_of_codes_far_from_zero_is_not_lost_to_rounding() -> None:
    z_mean = 1000 + 0.2 * torch.randn(5000, 1, generator=seeded())
    assert metrics.active_units(z_mean) == 1


@pytest.mark.parametrize("shape", [(1, 3), (7,)])
def test_active_units_refuses_what_has_no_variance(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2 images"):
        metrics.active_units(torch.zeros(shape))


# Importance-weighted likelihood


class LinearGaussian(Autoencoder):
    """x = W z + noise, whose log p(x) is known, with a posterior that is wrong on purpose."""

    noise_dim = 2
    weight = torch.tensor([[1.0, 0.3], [-0.5, 0.8], [0.2, -0.4], [0.7, 0.1]], dtype=torch.float64)
    std = 0.6

    def forward(
        self, x: Tensor, eps: Tensor | None = None, labels: Tensor | None = None
    ) -> ModelOutput:
        assert eps is not None
        precision = torch.eye(2).double() + self.weight.T @ self.weight / self.std**2
        mean = x.flatten(1) @ self.weight / self.std**2 @ torch.linalg.inv(precision) + 0.1
        logvar = -precision.diagonal().log().expand_as(mean) + 0.2
        z = mean + torch.exp(0.5 * logvar) * eps
        return ModelOutput((z @ self.weight.T).view_as(x), mean, logvar, mean)

    def log_prior(self, z: Tensor) -> Tensor:
        return distributions.Normal(0.0, 1.0).log_prob(z).sum(1)

    def nll(self, logits: Tensor, target: Tensor) -> Tensor:
        return -distributions.Normal(logits, self.std).log_prob(target).flatten(1).sum(1)

    def exact_nll(self, x: Tensor) -> Tensor:
        covariance = self.weight @ self.weight.T + self.std**2 * torch.eye(4).double()
        zero = torch.zeros(4, dtype=torch.float64)
        return -distributions.MultivariateNormal(zero, covariance).log_prob(x.flatten(1))


def linear_nll(x: Tensor, *, k: int, seed: int = 0, rows: int = 4096) -> Tensor:
    model: Any = LinearGaussian()
    found = bounds.importance_weighted_nll(model, model, x, k=k, generator=seeded(seed), rows=rows)
    return found.iw_nll


def linear_data(count: int) -> Tensor:
    return torch.randn((count, 1, 2, 2), generator=seeded(9), dtype=torch.float64)


def test_importance_weighted_nll_reaches_the_exact_likelihood() -> None:
    x = linear_data(20)
    torch.testing.assert_close(
        linear_nll(x, k=20_000), LinearGaussian().exact_nll(x), rtol=0, atol=0.03
    )


def test_importance_weighted_nll_falls_towards_the_truth_with_more_samples() -> None:
    x = linear_data(3000)
    exact = LinearGaussian().exact_nll(x).mean()
    means = [linear_nll(x, k=k).mean() for k in (1, 5, 50)]
    assert means[0] > means[1] > means[2] > exact - 0.01


def test_importance_weighted_nll_does_not_depend_on_chunks_or_calls() -> None:
    x = linear_data(10)
    whole = linear_nll(x, k=7)
    torch.testing.assert_close(linear_nll(x, k=7, rows=8), whole, rtol=1e-9, atol=1e-9)
    model: Any = LinearGaussian()
    generator = seeded()
    parts = [
        bounds.importance_weighted_nll(model, model, part, k=7, generator=generator).iw_nll
        for part in x.split(3)
    ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["mlp_vae", "cond_conv_vae", "hier_conv_vae"])
def test_importance_weighted_nll_of_every_posterior_averages_to_the_elbo(kind: str) -> None:
    config = ModelConfig(kind=kind, image_size=16, latent_dim=2, widths=(4, 8), hidden=(16,))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.build(config).eval()
        for parameter in model.parameters():  # away from the start, where every prior is standard
            parameter.data += 0.2 * torch.randn_like(parameter)
    likelihood = likelihoods.build(config)
    images, labels = pictures(1, 1, 16, 16).repeat(2000, 1, 1, 1), torch.zeros(2000).long()
    found, same = bounds.importance_weighted_nll(
        model, likelihood, images, k=1, generator=seeded(), labels=labels
    )
    torch.testing.assert_close(found, same)
    with torch.no_grad():
        eps = torch.randn((2000, model.noise_dim), generator=seeded(1))
        output = model(images, eps, labels)
        neg_elbo = likelihood.nll(output.logits, images) + output.kl.sum(1)
    spread = math.sqrt(float(found.var() + neg_elbo.var()) / 2000)
    assert abs(float(found.mean() - neg_elbo.mean())) < 5 * spread


def test_importance_weighted_nll_without_samples_names_the_value() -> None:
    with pytest.raises(ValueError, match="k=0"):
        linear_nll(linear_data(1), k=0)


# Interpolation


def walk(*places: float) -> Tensor:
    """One walk of flat images with these grey levels."""
    return torch.tensor(places)[None, :, None, None, None].expand(1, -1, 1, 4, 4)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (walk(0.0, 0.25, 0.5, 0.75, 1.0), 1.0),
        (walk(0.0, 0.0, 0.0, 0.0, 1.0), 0.25),
        (walk(0.0, 0.5, 0.25, 0.75, 0.5), 0.25),
        (walk(0.0, 0.5, 0.0), 0.0),
        (walk(0.3, 0.3, 0.3), 1.0),
    ],
    ids=["straight", "jump", "back and forth", "return", "at rest"],
)
def test_smoothness_of_walks_with_a_known_answer(frames: Tensor, expected: float) -> None:
    assert float(metrics.interpolation_smoothness(frames)) == pytest.approx(expected, abs=1e-6)


def test_smoothness_is_per_walk() -> None:
    both = torch.cat([walk(0.0, 0.5, 1.0), walk(0.0, 0.0, 1.0)])
    np.testing.assert_allclose(metrics.interpolation_smoothness(both), [1.0, 0.5], atol=1e-6)


def test_smoothness_of_a_single_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 images"):
        metrics.interpolation_smoothness(walk(0.5))
