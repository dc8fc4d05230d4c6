"""The feature net, and the figures in its features: closed forms, scipy, known answers."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from tests.vae_trainables.real_data import fashion_mnist
from vae_trainables import datasets
from vae_trainables.checkpoint import CheckpointError, write_tensors
from vae_trainables.datasets.splits import Split
from vae_trainables.evaluation import features


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def bars(count: int, seed: int = 0) -> Split:
    """Images of noise with a bright bar whose height is the class: easy to learn."""
    labels = torch.arange(count) % 10
    images = torch.randint(0, 60, (count, 1, 28, 28), generator=seeded(seed), dtype=torch.uint8)
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label + 3 : 2 * label + 5] = 200
    return Split(images, labels)


def scipy_frechet(a: Tensor, b: Tensor) -> float:
    """The textbook formula with the square root of a matrix that is not symmetric."""
    x, y = a.numpy(), b.numpy()
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    cross = scipy.linalg.sqrtm(cov_x @ cov_y).real
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(cov_x + cov_y - 2 * cross))


# The net


def test_training_learns_and_measures_on_images_it_did_not_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "LEAST_STEPS", 60)
    split = bars(400)
    wrong_end = Split(split.images, split.labels.clone())
    wrong_end.labels[360:] = (wrong_end.labels[360:] + 1) % 10
    assert features.train_feature_net(split, epochs=1).accuracy > 0.95
    assert features.train_feature_net(wrong_end, epochs=1).accuracy < 0.05


def test_training_repeats_bit_for_bit_and_leaves_the_random_state_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "LEAST_STEPS", 5)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = features.train_feature_net(bars(100), seed=3, epochs=1).net.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(8)
    second = features.train_feature_net(bars(100), seed=3, epochs=1).net.state_dict()
    other = features.train_feature_net(bars(100), seed=4, epochs=1).net.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_too_few_images_to_hold_any_back_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 images, got 9"):
        features.train_feature_net(bars(9))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, 1, 28, 28\), got \(2, 1, 32, 32\)"):
        features.extract(features.FeatureNet(), torch.zeros(2, 1, 32, 32))


def test_features_depend_neither_on_batch_size_nor_on_order() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = features.FeatureNet()
    images = torch.rand((1100, 1, 28, 28), generator=seeded())
    whole = features.extract(net, images)
    order = torch.randperm(1100, generator=seeded(1))
    assert whole.shape == (1100, features.FEATURES)
    torch.testing.assert_close(
        features.extract(net, images[order]), whole[order], rtol=0, atol=1e-6
    )
    torch.testing.assert_close(features.extract(net, images[:3]), whole[:3], rtol=0, atol=1e-6)


def test_the_cache_gives_back_the_same_net_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "LEAST_STEPS", 2)
    first = features.feature_net(bars(100), epochs=1, folder=tmp_path)
    monkeypatch.setattr(features, "train_feature_net", None)  # a second training would fail
    again = features.feature_net(bars(100), epochs=1, folder=tmp_path)
    assert again.accuracy == first.accuracy
    weights, expected = again.net.state_dict(), first.net.state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert not again.net.training


def test_other_data_seed_or_epochs_are_another_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "LEAST_STEPS", 1)
    for images, seed, epochs in ((100, 0, 1), (110, 0, 1), (100, 1, 1), (100, 0, 2)):
        features.feature_net(bars(images), seed=seed, epochs=epochs, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_the_user_cache_is_used_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "LEAST_STEPS", 1)
    monkeypatch.setenv("VAE_STUDIES_CACHE", str(tmp_path))
    features.feature_net(bars(50), epochs=1)
    assert len(list((tmp_path / "feature-nets").iterdir())) == 1


def test_a_damaged_cache_is_trained_again_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(features, "LEAST_STEPS", 1)
    first = features.feature_net(bars(50), epochs=1, folder=tmp_path)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        again = features.feature_net(bars(50), epochs=1, folder=tmp_path)
    assert "training the feature net again" in caplog.text
    assert torch.equal(again.net.head.weight, first.net.head.weight)
    assert features.load(path).accuracy == again.accuracy


def test_weights_of_something_else_are_no_feature_net(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    write_tensors(path, {"weight": torch.zeros(2)}, {"accuracy": 1.0})
    with pytest.raises(CheckpointError, match="not a feature net"):
        features.load(path)


@cache
def fashion_net() -> features.TrainedNet:
    """Trained as studies train it, on all of Fashion-MNIST: half a minute of a core."""
    return features.train_feature_net(fashion_mnist("train"))


@pytest.mark.slow
def test_the_net_reaches_the_accuracy_that_makes_its_features_worth_using() -> None:
    test, trained = fashion_mnist("test"), fashion_net()
    found = features.accuracy(trained.net, test.images, test.labels)
    assert found > 0.88
    assert trained.accuracy == pytest.approx(found, abs=0.015)


@pytest.mark.slow
def test_frechet_distance_grows_with_the_noise_on_real_images() -> None:
    trained = fashion_net()
    images = fashion_mnist("test").images.float() / 255
    real, others = images[:3000], images[3000:6000]
    noise = torch.randn(others.shape, generator=seeded())

    def distance(samples: Tensor) -> float:
        found = features.extract(trained.net, samples)
        return features.frechet_distance(features.extract(trained.net, real), found)

    grades = [distance((others + s * noise).clamp(0, 1)) for s in (0.0, 0.05, 0.1, 0.2, 0.45)]
    assert grades == sorted(grades)
    assert grades[-1] > 20 * grades[0]


@pytest.mark.slow
def test_digits_are_enough_for_a_feature_net() -> None:
    split, test = datasets.load("digits", "train"), datasets.load("digits", "test")
    trained = features.train_feature_net(split, epochs=1)
    assert features.accuracy(trained.net, test.images, test.labels) > 0.8


# Fréchet distance


def test_frechet_distance_of_diagonal_gaussians_is_the_closed_form() -> None:
    whitened = normal(500, 3)
    whitened = whitened - whitened.mean(0)
    whitened = whitened @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(whitened.T))).T
    std_a, std_b = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 1.0, 0.0]).double()
    shift = torch.tensor([0.0, -1.0, 2.0]).double()
    found = features.frechet_distance(whitened * std_a, whitened * std_b + shift)
    closed = shift.square().sum() + (std_a - std_b).square().sum()
    assert found == pytest.approx(float(closed), rel=1e-9)


@pytest.mark.parametrize("width", [1, 5, 64])
def test_frechet_distance_equals_scipy_for_correlated_features(width: int) -> None:
    a = normal(400, width) @ normal(width, width, seed=1)
    b = normal(300, width, seed=2) @ normal(width, width, seed=3) + 0.5
    if width == 1:  # numpy's covariance of one column is a number, not a matrix
        spread = (a.std() - b.std()) ** 2 + (a.mean() - b.mean()) ** 2
        assert features.frechet_distance(a, b) == pytest.approx(float(spread), rel=1e-6)
    else:
        assert features.frechet_distance(a, b) == pytest.approx(scipy_frechet(a, b), rel=1e-6)


def test_frechet_distance_of_fewer_images_than_features_is_finite_and_right() -> None:
    few = normal(10, 64)
    assert features.frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    moved = features.frechet_distance(few, few + 1)
    assert moved == pytest.approx(64, rel=1e-9)


def test_frechet_distance_is_symmetric_and_blind_to_order() -> None:
    a, b = normal(200, 8).float(), (2 * normal(150, 8, seed=1) + 1).float()
    found = features.frechet_distance(a, b)
    assert features.frechet_distance(b, a) == pytest.approx(found, rel=1e-9)
    order = torch.randperm(200, generator=seeded())
    assert features.frechet_distance(a[order], b) == pytest.approx(found, rel=1e-9)


def test_features_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="widths: 3 and 4"):
        features.frechet_distance(normal(5, 3), normal(5, 4))
    with pytest.raises(ValueError, match=r"N > 1, got \(1, 3\)"):
        features.frechet_distance(normal(1, 3), normal(5, 3))
    with pytest.raises(ValueError, match="not finite"):
        features.diversity(normal(5, 3) / 0, normal(5, 3))


# Diversity


def test_diversity_of_known_samples() -> None:
    reference = normal(300, 6)
    assert features.diversity(reference, reference) == pytest.approx(1.0)
    assert features.diversity(0.5 * reference + 3, reference) == pytest.approx(0.5)
    assert features.diversity(reference[:1].expand(50, -1), reference) == 0.0


def test_diversity_is_the_mean_over_pairs_of_different_samples() -> None:
    line = torch.tensor([[0.0], [1.0], [3.0]])
    assert features.diversity(line, torch.tensor([[0.0], [1.0]])) == pytest.approx(2.0)


def test_diversity_does_not_grow_with_the_number_of_samples() -> None:
    small, large = normal(1500, 6), normal(3000, 6, seed=1)
    assert features.diversity(small, large) == pytest.approx(1.0, abs=0.02)


def test_reference_images_that_are_all_alike_are_refused() -> None:
    with pytest.raises(ValueError, match="all 5 reference images"):
        features.diversity(normal(5, 3), torch.full((5, 3), 0.1))


@pytest.mark.parametrize("home", ["/proc", None])
def test_without_a_home_folder_a_feature_net_is_trained_all_the_same(
    home: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the cache cannot be written, a line names it and the variable for another."""
    for name in ("HOME", "XDG_CACHE_HOME", "VAE_STUDIES_CACHE"):
        monkeypatch.delenv(name, raising=False)
    if home:
        monkeypatch.setenv("HOME", home)
    else:
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # as of a user without an entry
        monkeypatch.setattr("tempfile.gettempdir", lambda: "/proc")
    monkeypatch.setattr(features, "LEAST_STEPS", 1)
    images = torch.zeros(10, 1, 28, 28, dtype=torch.uint8)
    trained = features.feature_net(Split(images, torch.arange(10)), epochs=1)
    assert 0 <= trained.accuracy <= 1
    assert "/proc" in caplog.text
    assert "VAE_STUDIES_CACHE names another folder" in caplog.text
