"""Losses: against torch.distributions, pytorch-metric-learning and loops that anyone can check."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss
from skimage.metrics import structural_similarity
from torch import Tensor, distributions
from torch.autograd import gradcheck

from vae_trainables import metrics
from vae_trainables.config import TrialConfig
from vae_trainables.models import ModelOutput, gaussians
from vae_trainables.objective import losses

SIDE = 16


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def example(images: int = 5, latent: int = 3) -> tuple[ModelOutput, Tensor, Tensor]:
    """A float64 model output, clean images and labels of which one class is a singleton."""
    z_mean, z_logvar = normal(images, latent, seed=1), normal(images, latent, seed=2)
    output = ModelOutput(
        logits=normal(images, 1, SIDE, SIDE, seed=3),
        z_mean=z_mean,
        z_logvar=z_logvar,
        kl=gaussians.kl_divergence(z_mean, z_logvar),
    )
    clean = torch.rand((images, 1, SIDE, SIDE), generator=seeded(4), dtype=torch.float64)
    return output, clean, torch.tensor([0, 1, 0, 1, 2])


# KL


def test_kl_equals_torch_distributions() -> None:
    z_mean, z_logvar = normal(64, 7, seed=1), 2 * normal(64, 7, seed=2)
    reference = distributions.kl_divergence(
        distributions.Normal(z_mean, torch.exp(0.5 * z_logvar)), distributions.Normal(0.0, 1.0)
    )
    found = gaussians.kl_divergence(z_mean, z_logvar)
    torch.testing.assert_close(found, reference, rtol=1e-6, atol=1e-6)


@given(st.floats(-50, 50, width=32), st.floats(-30, 30, width=32))
def test_kl_is_never_negative_in_float32(mean: float, logvar: float) -> None:
    kl = gaussians.kl_divergence(torch.tensor([[mean]]), torch.tensor([[logvar]]))
    assert kl.item() >= -1e-7 * abs(logvar), "below 0 by more than rounding"


def test_kl_is_zero_at_the_prior_only() -> None:
    zero = torch.zeros(2, 3)
    assert torch.equal(gaussians.kl_divergence(zero, zero), zero)
    assert (gaussians.kl_divergence(zero + 0.01, zero) > 0).all()
    assert (gaussians.kl_divergence(zero, zero + 0.01) > 0).all()
    assert (gaussians.kl_divergence(zero, zero - 0.01) > 0).all()


@pytest.mark.parametrize(
    "terms", [{}, {"free_bits": 0.4}, {"target": 2.0}, {"free_bits": 0.4, "target": 9.0}]
)
def test_kl_penalty_equals_a_loop(terms: dict[str, float]) -> None:
    kl = normal(6, 4).abs()
    total = 0.0
    for dimension in range(4):
        mean = sum(kl[image, dimension].item() for image in range(6)) / 6
        total += max(mean, terms.get("free_bits", 0.0))
    expected = abs(total - terms["target"]) if "target" in terms else total
    assert losses.kl_penalty(kl.mean(0), **terms).item() == pytest.approx(expected, abs=1e-12)


def test_free_bits_leave_dimensions_below_the_floor_without_gradient() -> None:
    kl = torch.tensor([[0.1, 0.9], [0.2, 1.1]], requires_grad=True)
    (grad,) = torch.autograd.grad(losses.kl_penalty(kl.mean(0), free_bits=0.5), kl)
    assert torch.equal(grad, torch.tensor([[0.0, 0.5], [0.0, 0.5]]))


@given(st.floats(0, 5), st.integers(1, 9), st.integers(0, 2**31))
def test_free_bits_only_ever_raise_the_penalty_to_their_floor(
    bits: float, latent: int, seed: int
) -> None:
    kl = normal(4, latent, seed=seed).abs()
    plain, freed = losses.kl_penalty(kl.mean(0)), losses.kl_penalty(kl.mean(0), free_bits=bits)
    assert freed >= plain
    assert freed >= bits * latent - 1e-9
    assert freed <= plain + bits * latent + 1e-9


def test_kl_target_pushes_from_both_sides() -> None:
    kl = torch.full((2, 2), 1.5, requires_grad=True)
    for target, sign in ((1.0, 1.0), (8.0, -1.0)):
        (grad,) = torch.autograd.grad(losses.kl_penalty(kl.mean(0), target=target), kl)
        assert torch.equal(grad, torch.full((2, 2), sign * 0.5))
    assert losses.kl_penalty(kl.mean(0), target=3.0) == 0


# SupCon


def naive_supcon(z: Tensor, labels: Tensor, temperature: float) -> float:
    """Khosla et al. 2020, eq. 2, term by term."""
    rows = [row / row.norm() if row.norm() > 0 else row for row in z.double()]
    anchors = []
    for i, anchor in enumerate(rows):
        positives = [p for p in range(len(rows)) if p != i and labels[p] == labels[i]]
        if not positives:
            continue
        scores = [math.exp(anchor @ rows[a] / temperature) for a in range(len(rows)) if a != i]
        pulls = [math.log(math.exp(anchor @ rows[p] / temperature)) for p in positives]
        anchors.append(-sum(pull - math.log(sum(scores)) for pull in pulls) / len(positives))
    return sum(anchors) / len(anchors) if anchors else 0.0


@pytest.mark.parametrize("temperature", [0.02, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("classes", [2, 7, 40], ids=["few", "some", "singletons-among-them"])
def test_supcon_equals_pytorch_metric_learning(temperature: float, classes: int) -> None:
    z = normal(48, 6)
    labels = torch.randint(classes, (48,), generator=seeded(classes))
    singletons = (labels.bincount() == 1).sum()
    assert (singletons > 0) == (classes == 40)
    reference = SupConLoss(temperature=temperature)(z, labels)
    found = losses.supcon(z, labels, temperature)
    torch.testing.assert_close(found, reference, rtol=0, atol=1e-6)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.floats(0.05, 5), st.integers(0, 2**31))
def test_supcon_equals_a_loop(images: int, classes: int, temperature: float, seed: int) -> None:
    z = normal(images, 3, seed=seed)
    labels = torch.randint(classes, (images,), generator=seeded(seed))
    expected = naive_supcon(z, labels, temperature)
    assert losses.supcon(z, labels, temperature).item() == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(st.floats(0.1, 100), st.integers(0, 2**31))
def test_supcon_ignores_the_lengths_and_the_order_of_codes(scale: float, seed: int) -> None:
    z, labels = normal(10, 4, seed=seed), torch.randint(3, (10,), generator=seeded(seed))
    order = torch.randperm(10, generator=seeded(seed))
    found = losses.supcon(scale * z[order], labels[order], 0.1)
    torch.testing.assert_close(found, losses.supcon(z, labels, 0.1))


def test_collapsed_codes_of_a_batch_of_256_cost_ln_255() -> None:
    labels = torch.arange(256) % 10
    found = losses.supcon(torch.ones(256, 16), labels, 0.1)
    assert found.item() == pytest.approx(math.log(255), abs=1e-5)


@pytest.mark.parametrize("images", [1, 2, 6])
def test_a_batch_without_a_positive_costs_exactly_nothing(images: int) -> None:
    z = normal(images, 4, dtype=torch.float32).requires_grad_()
    loss = losses.supcon(z, torch.arange(images), 0.1)
    assert loss.item() == 0
    (grad,) = torch.autograd.grad(loss, z)
    assert torch.equal(grad, torch.zeros_like(z))


def test_a_batch_of_one_class_is_finite_and_right() -> None:
    z = normal(9, 4).requires_grad_()
    labels = torch.zeros(9, dtype=torch.int64)
    loss = losses.supcon(z, labels, 0.1)
    assert loss.item() == pytest.approx(naive_supcon(z.detach(), labels, 0.1), abs=1e-9)
    (grad,) = torch.autograd.grad(loss, z)
    assert grad.isfinite().all()


@pytest.mark.parametrize("zeros", [1, 3, 6], ids=["one", "half", "all"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_codes_are_orthogonal_to_all_and_get_no_gradient(
    zeros: int, dtype: torch.dtype
) -> None:
    z = normal(6, 4, dtype=dtype)
    z[:zeros] = 0
    z.requires_grad_()
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    loss = losses.supcon(z, labels, 0.5)
    assert loss.item() == pytest.approx(naive_supcon(z.detach(), labels, 0.5), abs=1e-5)
    (grad,) = torch.autograd.grad(loss, z)
    assert grad.isfinite().all()
    assert torch.equal(grad[:zeros], torch.zeros(zeros, 4, dtype=dtype))


def test_tiny_temperatures_do_not_overflow() -> None:
    z = normal(20, 4, dtype=torch.float32).requires_grad_()
    loss = losses.supcon(z, torch.arange(20) % 3, 1e-3)
    (grad,) = torch.autograd.grad(loss, z)
    assert loss.isfinite()
    assert grad.isfinite().all()


# Reconstruction


def test_edge_error_equals_a_loop() -> None:
    image, clean = normal(2, 3, 5, 4, seed=1), normal(2, 3, 5, 4, seed=2)
    expected = torch.zeros(2, dtype=torch.float64)
    for b, c, i, j in np.ndindex(2, 3, 5, 4):
        for di, dj in ((0, 1), (1, 0)):
            if i + di < 5 and j + dj < 4:
                of_image = image[b, c, i + di, j + dj] - image[b, c, i, j]
                of_clean = clean[b, c, i + di, j + dj] - clean[b, c, i, j]
                expected[b] += (of_image - of_clean).abs()
    torch.testing.assert_close(losses.edge_error(image, clean), expected)


def test_edge_error_ignores_brightness() -> None:
    clean = normal(2, 1, 8, 8)
    brighter = losses.edge_error(clean + 0.25, clean)
    torch.testing.assert_close(brighter, torch.zeros_like(brighter))


# The whole objective


ANCHORED_SSIM = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 1.0,
}


def naive_terms(
    output: ModelOutput, clean: Tensor, labels: Tensor, config: TrialConfig, beta: float
) -> dict[str, float]:
    """The Bernoulli VAE's loss in python floats, image by image and pixel by pixel."""
    images, latent = output.z_mean.shape
    nll = kl = pixel_error = structure = edges = 0.0
    per_dimension = [0.0] * latent
    for b in range(images):
        image = np.empty((SIDE, SIDE))
        for i, j in np.ndindex(SIDE, SIDE):
            p, x = 1 / (1 + math.exp(-output.logits[b, 0, i, j])), clean[b, 0, i, j].item()
            image[i, j] = p
            nll -= (x * math.log(p) + (1 - x) * math.log(1 - p)) / images
            pixel_error += (
                (p - x) ** 2 if config.objective.recon_term == "mse" else abs(p - x)
            ) / images
        truth = clean[b, 0].numpy()
        ssim = structural_similarity(image, truth, **ANCHORED_SSIM)
        structure += (1 - ssim) / images
        error = image - truth
        for axis in (0, 1):
            edges += np.abs(np.diff(error, axis=axis)).sum() / images
        for d in range(latent):
            mean, logvar = output.z_mean[b, d].item(), output.z_logvar[b, d].item()
            nats = 0.5 * (mean**2 + math.exp(logvar) - 1 - logvar)
            kl += nats / images
            per_dimension[d] += nats / images
    penalty = sum(max(nats, config.objective.free_bits) for nats in per_dimension)
    if config.objective.kl_target is not None:
        penalty = abs(penalty - config.objective.kl_target)
    loss = nll if config.objective.recon_term == "nll" else pixel_error
    loss += (
        config.objective.ssim_weight * structure
        + config.objective.edge_weight * edges
        + beta * penalty
    )
    contrast = naive_supcon(output.z_mean, labels, config.objective.supcon_temperature)
    loss += config.objective.supcon_gamma * contrast
    figures = {"loss": loss, "recon": nll, "kl": kl}
    weighted = {"supcon": contrast, "ssim": structure, "edge": edges}
    weights = (
        config.objective.supcon_gamma,
        config.objective.ssim_weight,
        config.objective.edge_weight,
    )
    figures |= {n: v for (n, v), w in zip(weighted.items(), weights, strict=True) if w}
    return figures | (
        {config.objective.recon_term: pixel_error} if config.objective.recon_term != "nll" else {}
    )


OBJECTIVES: dict[str, dict[str, Any]] = {
    "plain": {},
    "r2": {"supcon_gamma": 1.0},
    "strong-supcon": {"supcon_gamma": 30.0, "supcon_temperature": 0.5},
    "mse": {"recon_term": "mse"},
    "l1": {"recon_term": "l1", "free_bits": 0.5},
    "capacity": {"kl_target": 25.0},
    "ssim": {"ssim_weight": 40.0},
    "edges": {"edge_weight": 0.5, "recon_term": "mse"},
    "everything": {
        "recon_term": "l1",
        "ssim_weight": 10.0,
        "edge_weight": 0.3,
        "free_bits": 0.8,
        "kl_target": 1.0,
        "supcon_gamma": 3.0,
    },
}


@pytest.mark.parametrize("weights", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("beta", [0.0, 0.125, 4.0])
def test_objective_equals_the_naive_loop(weights: dict[str, Any], beta: float) -> None:
    output, clean, labels = example()
    config = TrialConfig(**weights)
    found = losses.objective(output, clean, labels, config, beta)
    expected = naive_terms(output, clean, labels, config, beta)
    figures = {"loss": found.loss, **found.values}
    assert {k: v.item() for k, v in figures.items()} == pytest.approx(expected, rel=1e-9)


def test_beta_may_be_a_tensor_as_in_a_captured_step() -> None:
    output, clean, labels = example()
    config = TrialConfig()
    with_float = losses.objective(output, clean, labels, config, 0.5)
    with_tensor = losses.objective(output, clean, labels, config, torch.tensor(0.5))
    torch.testing.assert_close(with_tensor.loss, with_float.loss)


def test_objective_of_an_autoencoder_has_no_kl_whatever_its_settings() -> None:
    output, clean, labels = example()
    code_only = output._replace(kl=torch.zeros_like(output.kl))
    config = TrialConfig(kind="mlp_ae", free_bits=1.0, kl_target=5.0)
    terms = losses.objective(code_only, clean, labels, config, beta=7.0)
    assert terms.loss == terms.values["recon"]
    assert terms.values["kl"] == 0


def test_terms_of_weight_zero_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("a term of weight 0 was computed")

    monkeypatch.setattr(losses, "supcon", refuse)
    monkeypatch.setattr(losses, "edge_error", refuse)
    monkeypatch.setattr(metrics, "ssim", refuse)
    terms = losses.objective(*example(), TrialConfig(), beta=1.0)
    assert terms.values.keys() == {"recon", "kl"}


def test_only_the_loss_carries_a_graph() -> None:
    output, clean, labels = example()
    output.logits.requires_grad_()
    terms = losses.objective(output, clean, labels, TrialConfig(supcon_gamma=1.0), 1.0)
    assert terms.loss.requires_grad
    carries = {name for name, value in terms.values.items() if value.requires_grad}
    assert carries == set(), "a logged term that keeps its graph would pile up memory"


# Gradients

LOSSES = {
    "kl_divergence": lambda a, b: gaussians.kl_divergence(a, b),
    "kl_penalty": lambda a, b: losses.kl_penalty(
        gaussians.kl_divergence(a, b).mean(0), free_bits=0.7
    ),
    "kl_target": lambda a, b: losses.kl_penalty(gaussians.kl_divergence(a, b).mean(0), target=2.0),
    "supcon": lambda a, b: losses.supcon(a + b, torch.tensor([0, 1, 0, 1, 2]), 0.1),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_of_latent_losses_are_right(loss: Any) -> None:
    arguments = (normal(5, 3, seed=5).requires_grad_(), normal(5, 3, seed=6).requires_grad_())
    assert gradcheck(loss, arguments)


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "edge_error"])
def test_gradients_of_image_losses_are_right(name: str) -> None:
    image, clean = normal(2, 3, 4, 5, seed=7), normal(2, 3, 4, 5, seed=8)
    assert gradcheck(getattr(losses, name), (image.requires_grad_(), clean.requires_grad_()))


@pytest.mark.parametrize("weights", OBJECTIVES.values(), ids=OBJECTIVES)
def test_gradient_of_the_objective_is_right(weights: dict[str, Any]) -> None:
    output, clean, labels = example()
    config = TrialConfig(**weights)

    def loss(logits: Tensor, z_mean: Tensor, z_logvar: Tensor) -> Tensor:
        kl = gaussians.kl_divergence(z_mean, z_logvar)
        made = ModelOutput(logits, z_mean, z_logvar, kl)
        return losses.objective(made, clean, labels, config, 0.5).loss

    arguments = tuple(value.detach().requires_grad_() for value in output[:3])
    assert gradcheck(loss, arguments, fast_mode=True)
