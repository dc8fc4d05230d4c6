"""Baselines: where the best denoiser is known they reach it, and real figures match others'."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.vae_trainables.real_data import fashion_mnist
from vae_trainables import metrics
from vae_trainables.config import NoiseKind
from vae_trainables.datasets import noise
from vae_trainables.evaluation import baselines
from vae_trainables.evaluation.baselines import (
    BASELINES,
    FLOORS,
    Fitted,
    Training,
    ceiling,
    linear,
    lookup,
    smoothing,
)
from vae_trainables.evaluation.baselines import rows as baseline_rows
from vae_trainables.evaluation.baselines import training as learned
from vae_trainables.evaluation.evaluator import ROBUSTNESS_FACTORS, evaluation_noise

SIDE = 12
PIXELS = SIDE * SIDE
STD = 0.1


@pytest.fixture(autouse=True)
def _little_tuning(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "slow" not in request.keywords:
        monkeypatch.setattr(learned, "TUNING_IMAGES", 25)
        monkeypatch.setattr(ceiling, "IMAGES", 100)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def covariance() -> Tensor:
    """Of smooth gaussian images, float64; their grey levels stay within [0, 1]."""
    place = torch.cartesian_prod(*2 * [torch.arange(SIDE).double()])
    return 0.08**2 * torch.exp(-torch.cdist(place, place).square() / 18)


def gaussian_images(count: int, seed: int) -> Tensor:
    root = torch.linalg.cholesky(covariance() + 1e-9 * torch.eye(PIXELS))
    draws = torch.randn((count, PIXELS), generator=seeded(seed), dtype=torch.float64)
    return (0.5 + draws @ root.T).float().view(-1, 1, SIDE, SIDE)


def as_uint8(images: Tensor) -> Tensor:
    return (255 * images).round().clamp(0, 255).to(torch.uint8)


def with_noise(images: Tensor, seed: int) -> Tensor:
    return noise.gaussian(images, STD, seeded(seed))


def gaussian_training(count: int = 6000) -> Training:
    clean = as_uint8(gaussian_images(count, seed=1))
    return Training(clean, with_noise(clean / 255, seed=2))


def gaussian_test(count: int = 1500) -> tuple[Tensor, Tensor]:
    """Clean and noisy images that no training saw."""
    clean = gaussian_images(count, seed=3)
    return clean, with_noise(clean, seed=4)


def stripes(count: int, seed: int = 0, channels: int = 1) -> Tensor:
    """uint8 images of few sorts: training images explain test images nearly perfectly."""
    generator = seeded(seed)
    sorts = torch.randint(0, 2, (12, channels, 1, 4), generator=seeded(99)).repeat_interleave(4, 3)
    chosen = torch.randint(0, 12, (count,), generator=generator)
    level = torch.randint(180, 256, (count, 1, 1, 1), generator=generator)
    return (sorts[chosen] * level).expand(-1, -1, 16, -1).to(torch.uint8).contiguous()


def small_problem(channels: int = 1, kind: NoiseKind = "gaussian") -> tuple[Training, Tensor, Any]:
    """Training, noisy and clean images of stripes."""

    def corrupted(images: Tensor, seed: int) -> Tensor:
        draw = torch.randn if noise.random_kind(kind) == "normal" else torch.rand
        return noise.corrupt(kind, images, 0.4, draw(images.shape, generator=seeded(seed)))

    train, clean = stripes(400, channels=channels), stripes(60, seed=5, channels=channels) / 255
    return Training(train, corrupted(train / 255, 6)), corrupted(clean, 7), clean


def error(fitted: Fitted, noisy: Tensor, clean: Tensor) -> float:
    return float(metrics.mse(fitted.denoise(noisy), clean).double().mean())


# The linear ones, on data whose best linear denoiser is known


def best_linear(noisy: Tensor, rank: int) -> Tensor:
    """By the true covariance, in closed form."""
    values, directions = torch.linalg.eigh(covariance())
    gains = values / (values + STD**2)
    gains[: PIXELS - rank] = 0
    filter_ = (directions * gains) @ directions.T
    return ((noisy.flatten(1).double() - 0.5) @ filter_ + 0.5).float().view_as(noisy)


@pytest.mark.parametrize("rank", [None, 3, 16])
def test_wiener_reaches_the_best_linear_denoiser_of_its_rank(rank: int | None) -> None:
    clean, noisy = gaussian_test()
    best = float(metrics.mse(best_linear(noisy, rank or PIXELS), clean).double().mean())
    found = error(baselines.wiener(gaussian_training(20_000), rank), noisy, clean)
    assert found == pytest.approx(best, rel=0.02)


def test_wiener_of_low_rank_is_the_best_where_noise_spoils_the_main_directions() -> None:
    """Against the truncated singular values of the regression on whitened noisy pixels."""
    uneven = torch.linspace(0.01, 0.2, SIDE).expand(SIDE, SIDE)  # more to the right
    clean = gaussian_images(20_000, seed=1)
    spoilt = (clean + uneven * torch.randn(clean.shape, generator=seeded(2))).clamp(0, 1)
    training = Training(as_uint8(clean), spoilt)
    found = training.once(linear.moments)
    values, directions = np.linalg.eigh(found.noisy.numpy())
    whitening = directions / np.sqrt(values) @ directions.T
    left, singular, right = np.linalg.svd(found.cross.numpy() @ whitening)
    best = (left[:, :4] * singular[:4]) @ right[:4] @ whitening
    centred = spoilt[:500].flatten(1).double() - found.noisy_mean
    expected = (centred @ torch.from_numpy(best).T + found.clean_mean).clamp(0, 1)
    denoised = baselines.wiener(training, 4).denoise(spoilt[:500]).flatten(1).double()
    torch.testing.assert_close(denoised, expected, rtol=0, atol=5e-3)
    assert float((denoised - expected).square().mean().sqrt()) < 5e-4


def test_wiener_beats_every_other_linear_denoiser() -> None:
    clean, noisy = gaussian_test()
    training = gaussian_training()
    best = error(baselines.wiener(training), noisy, clean)
    blurs = [
        torch.nn.functional.avg_pool2d(noisy, size, 1, size // 2, count_include_pad=False)
        for size in (1, 3, 5)
    ]
    others = [float(metrics.mse(blur, clean).mean()) for blur in blurs]
    others += [error(baselines.pca(training, k), noisy, clean) for k in (2, 4, 8, 16, 32, 64)]
    others += [error(baselines.wiener(training, k), noisy, clean) for k in (2, 8)]
    assert best < min(others)


def test_wiener_of_few_images_does_not_fit_their_noise() -> None:
    clean, noisy = gaussian_test()
    for count in (20, PIXELS, 300):  # as many images as pixels is where least squares is worst
        training = gaussian_training(count)
        found = error(baselines.wiener(training), noisy, clean)
        assert found < error(baselines.mean_image(training), noisy, clean)
        assert found < STD**2


def test_wiener_corrects_the_bias_of_clipped_noise() -> None:
    dark = torch.zeros((2000, 1, SIDE, SIDE), dtype=torch.uint8)
    dark[::2, :, :, : SIDE // 2] = 40
    training = Training(dark, noise.gaussian(dark / 255, 0.5, seeded()))
    noisy = noise.gaussian(dark / 255, 0.5, seeded(1))
    assert float(training.noisy.mean()) > 0.2
    denoised = baselines.wiener(training).denoise(noisy)
    assert float(denoised.mean()) == pytest.approx(float((dark / 255).mean()), abs=0.01)


def test_pca_of_all_components_without_bias_changes_nothing() -> None:
    _, noisy = gaussian_test(50)
    training = gaussian_training(2000)
    moments = training.once(linear.moments)
    shift = (moments.clean_mean - moments.noisy_mean).float()
    found = baselines.pca(training, PIXELS).denoise(noisy).flatten(1)
    expected = (noisy.flatten(1) + shift).clamp(0, 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_pca_keeps_the_given_number_of_directions() -> None:
    _, noisy = gaussian_test(200)
    found = baselines.pca(gaussian_training(2000), 5).denoise(noisy).flatten(1)
    assert int(torch.linalg.matrix_rank(found - found.mean(0), rtol=1e-4)) == 5


@pytest.mark.parametrize("count", [0, PIXELS + 1])
def test_ranks_that_do_not_exist_are_refused(count: int) -> None:
    training = gaussian_training(10)
    with pytest.raises(ValueError, match=f"from 1 to {PIXELS}, got {count}"):
        baselines.wiener(training, count)
    with pytest.raises(ValueError, match=f"from 1 to {PIXELS}, got {count}"):
        baselines.pca(training, count)


def test_moments_equal_numpy() -> None:
    training = gaussian_training(7000)  # more than one chunk
    clean, noisy = training.clean.flatten(1).numpy() / 255, training.noisy.flatten(1).numpy()
    both = np.cov(clean, noisy.astype(float), rowvar=False, bias=True)
    found = training.once(linear.moments)
    for block, expected in (
        (found.clean, both[:PIXELS, :PIXELS]),
        (found.noisy, both[PIXELS:, PIXELS:]),
        (found.cross, both[:PIXELS, PIXELS:]),
    ):
        np.testing.assert_allclose(block, expected, rtol=0, atol=1e-8)


# The others


def test_the_mean_image_is_the_mean_of_the_training_images() -> None:
    training, noisy, _ = small_problem()
    found = baselines.mean_image(training).denoise(noisy)
    expected = (training.clean.double() / 255).mean(0).float()
    torch.testing.assert_close(found[3], expected)
    assert torch.equal(found[0], found[-1])


@pytest.mark.parametrize("name", ["total variation", "non-local means"])
def test_smoothers_beat_their_input_and_tune_on_training_images_only(name: str) -> None:
    training, noisy, clean = small_problem()
    fitted = BASELINES[name](training, 16)
    assert error(fitted, noisy, clean) < 0.6 * float(metrics.mse(noisy, clean).mean())
    assert {"slope", "offset"} < fitted.parameters.keys()


def test_the_smoothers_choice_is_the_best_of_its_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    training, _, _ = small_problem()
    tuning = slice(None, None, len(training) // learned.TUNING_IMAGES)
    clean, noisy = training.clean[tuning] / 255, training.noisy[tuning]

    def quality(fitted: Fitted) -> float:
        return float(metrics.psnr(fitted.denoise(noisy), clean).double().mean())

    chosen = baselines.total_variation(training)
    for weight in smoothing.TV_WEIGHTS:
        monkeypatch.setattr(smoothing, "TV_WEIGHTS", (weight,))
        assert quality(baselines.total_variation(training)) <= quality(chosen) + 1e-6


def test_lookup_finds_the_training_images_that_explain_the_noisy_one() -> None:
    training, noisy, clean = small_problem()
    fitted = lookup.lookup(training)
    assert error(fitted, noisy, clean) < 0.3 * error(baselines.wiener(training), noisy, clean)


def test_lookup_is_the_weighted_mean_that_it_claims_to_be() -> None:
    training, noisy, _ = small_problem()
    fitted = lookup.lookup(training)
    levels = training.clean.flatten().numpy()
    values = training.noisy.flatten().double().numpy()
    mean = {level: values[levels == level].mean() for level in np.unique(levels)}
    shown = np.vectorize(mean.__getitem__)(training.clean.flatten(1).numpy())
    variance = ((values - np.vectorize(mean.__getitem__)(levels)) ** 2).mean()
    for image in noisy[:5]:
        distance = ((image.flatten().double().numpy() - shown) ** 2).sum(1)
        exponent = -distance / (2 * variance * fitted.parameters["temperature"])
        weights = np.exp(exponent - exponent.max())
        expected = weights @ (training.clean.flatten(1).numpy() / 255) / weights.sum()
        found = fitted.denoise(image[None]).flatten()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_lookup_tunes_without_letting_images_find_themselves() -> None:
    unlike = torch.randint(0, 256, (100, 1, 16, 16), generator=seeded(), dtype=torch.uint8)
    training = Training(unlike, noise.gaussian(unlike / 255, 0.3, seeded(1)))
    chosen = lookup.lookup(training).parameters["temperature"]
    assert chosen > 8  # nothing like them is there: only means of many help


# All together


@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_depends_on_batch_size_or_order(name: str) -> None:
    training, noisy, _ = small_problem()
    fitted = BASELINES[name](training, 4)
    whole = fitted.denoise(noisy)
    order = torch.randperm(len(noisy), generator=seeded(8))
    assert whole.shape == noisy.shape
    assert whole.dtype == torch.float32
    torch.testing.assert_close(fitted.denoise(noisy[order]), whole[order], rtol=0, atol=1e-6)
    torch.testing.assert_close(fitted.denoise(noisy[:1]), whole[:1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "salt_pepper", "masking", "poisson"])
@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_copes_with_every_noise_and_with_colour(name: str, kind: NoiseKind) -> None:
    training, noisy, _ = small_problem(channels=3, kind=kind)
    found = BASELINES[name](training, 4).denoise(noisy[:5])
    assert found.shape == (5, 3, 16, 16)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_fails_without_noise(name: str) -> None:
    clean = stripes(100)
    fitted = BASELINES[name](Training(clean, clean / 255), 4)
    assert fitted.denoise(clean[:5] / 255).isfinite().all()


def test_rows_say_what_was_measured_on_how_many_images(tmp_path: Path) -> None:
    training, noisy, clean = small_problem()
    seen: list[tuple[str, int, int]] = []
    rows = baselines.evaluate_all(
        training,
        noisy,
        clean,
        components=4,
        costly_images=20,
        progress=lambda *state: seen.append(state),
        folder=tmp_path,
    )
    assert [row["name"] for row in rows] == list(FLOORS)
    assert [row["n"] for row in rows] == [60] * 5 + [20] * 3
    by_name = {row["name"]: row for row in rows}
    assert by_name["do nothing"]["mse"] == pytest.approx(float(metrics.mse(noisy, clean).mean()))
    assert by_name["do nothing"]["psnr"] == pytest.approx(float(metrics.psnr(noisy, clean).mean()))
    assert by_name["do nothing"]["ssim"] == pytest.approx(float(metrics.ssim(noisy, clean).mean()))
    assert by_name["pca"]["components"] == 4
    assert by_name["wiener rank 16"]["rank"] == 16
    assert ("lookup", 20, 20) in seen
    json.dumps(rows, allow_nan=False)


def test_rows_do_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    training, noisy, clean = small_problem()
    names = ["wiener", "lookup"]
    first = baselines.evaluate_all(
        training, noisy, clean, components=4, names=names, folder=tmp_path / "a"
    )
    monkeypatch.setattr(baseline_rows, "_DENOISE_CHUNK", 7)
    second = baselines.evaluate_all(
        training, noisy, clean, components=4, names=names, folder=tmp_path / "b"
    )
    for a, b in zip(first, second, strict=True):
        assert a.pop("name") == b.pop("name")
        assert a == pytest.approx(b, rel=1e-4)  # products of other shapes are rounded otherwise


def evaluate_wiener_and_pca(
    training: Training, noisy: Tensor, clean: Tensor, folder: Path, components: int = 4
) -> list[dict[str, Any]]:
    return baselines.evaluate_all(
        training, noisy, clean, components=components, names=["wiener", "pca"], folder=folder
    )


def test_rows_are_cached_by_data_and_parameters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    training, noisy, clean = small_problem()
    first = evaluate_wiener_and_pca(training, noisy, clean, tmp_path)
    computed: list[str] = []
    for name in ("wiener", "pca"):
        fit = BASELINES[name]

        def counted(
            training: Training, components: int, name: str = name, fit: Any = fit
        ) -> Fitted:
            computed.append(name)
            return fit(training, components)  # type: ignore[no-any-return]

        monkeypatch.setitem(BASELINES, name, counted)
    assert evaluate_wiener_and_pca(training, noisy, clean, tmp_path) == first
    assert computed == []
    evaluate_wiener_and_pca(training, noisy, clean, tmp_path, components=5)
    assert computed == ["pca"]
    evaluate_wiener_and_pca(training, noisy.flip(0), clean, tmp_path)
    evaluate_wiener_and_pca(training, noisy, clean.flip(0), tmp_path)
    fresh = Training(training.clean, training.noisy.clone())
    fresh.noisy[0, 0, 0, 0] += 0.01
    evaluate_wiener_and_pca(fresh, noisy, clean, tmp_path)
    assert computed == ["pca"] + 3 * ["wiener", "pca"]


def test_a_damaged_cache_is_computed_again_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    problem = small_problem()
    first = evaluate_wiener_and_pca(*problem, tmp_path)
    for path in tmp_path.iterdir():
        path.write_text(path.read_text()[:-3])
    with caplog.at_level(logging.WARNING):
        assert evaluate_wiener_and_pca(*problem, tmp_path) == first
    assert "computing the baseline again" in caplog.text
    assert all(json.loads(path.read_text()) for path in tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_costs_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        rows = evaluate_wiener_and_pca(*small_problem(), blocked / "cache")
    assert len(rows) == 2
    assert "cannot be written" in caplog.text


def test_more_components_than_pixels_are_all_pixels(tmp_path: Path) -> None:
    training, noisy, clean = small_problem()
    [row] = baselines.evaluate_all(
        training, noisy, clean, components=1024, names=["pca"], folder=tmp_path
    )
    assert row["components"] == 256


def test_bad_input_is_refused_with_what_was_received(tmp_path: Path) -> None:
    training, noisy, clean = small_problem()
    with pytest.raises(ValueError, match="there is no baseline 'median'; there are do nothing"):
        baselines.evaluate_all(
            training, noisy, clean, components=4, names=["median"], folder=tmp_path
        )
    with pytest.raises(ValueError, match=r"noisy \(59, 1, 16, 16\)"):
        baselines.evaluate_all(training, noisy[1:], clean, components=4, folder=tmp_path)
    with pytest.raises(ValueError, match="uint8"):
        Training(training.noisy, training.noisy)
    with pytest.raises(ValueError, match="float32"):
        Training(training.clean, training.noisy.double())
    with pytest.raises(ValueError, match="at least 2 training images, got 1"):
        Training(training.clean[:1], training.noisy[:1])


# Real data: figures of others


@pytest.mark.slow
def test_figures_on_fashion_mnist_match_those_measured_elsewhere(tmp_path: Path) -> None:
    train = torch.cat([fashion_mnist("train").images, fashion_mnist("val").images])
    clean = fashion_mnist("test").images.float() / 255
    noisy = noise.gaussian(clean, 0.45, seeded(1))
    training = Training(train, noise.gaussian(train / 255, 0.45, seeded(2)))
    rows = baselines.evaluate_all(
        training,
        noisy,
        clean,
        components=16,
        names=["do nothing", "mean image", "wiener rank 16", "wiener", "lookup"],
        costly_images=500,
        folder=tmp_path,
    )
    known = {
        "do nothing": (0.1014, 9.95, 0.287, 0.01),
        "mean image": (0.0866, 10.94, 0.133, 0.01),
        "wiener rank 16": (0.0231, 16.74, 0.473, 0.01),
        "wiener": (0.0168, 18.01, 0.555, 0.01),
        "lookup": (0.01345, 19.66, 0.690, 0.02),
    }
    for row in rows:
        mse, psnr, ssim, tolerance = known[row["name"]]
        found = (row["mse"], row["psnr"], row["ssim"])
        assert found == pytest.approx((mse, psnr, ssim), rel=tolerance), row["name"]
        assert not math.isnan(row["mse"])


def test_curves_over_noise_are_those_of_the_noise_that_models_are_tried_on() -> None:
    clean = gaussian_images(40, seed=5).clamp(0, 1)
    fitted = BASELINES["do nothing"](gaussian_training(50), 4)
    rows = baselines.over_noise(fitted, clean, ["gaussian", "masking"], "do nothing")
    assert [row["factor"] for row in rows] == [*ROBUSTNESS_FACTORS] * 2
    assert {row["n"] for row in rows} == {40}
    by_place = {(row["kind"], row["factor"]): row["psnr"] for row in rows}
    noisy = evaluation_noise(clean, "masking", 0.3)
    assert by_place["masking", 0.3] == pytest.approx(float(metrics.psnr(noisy, clean).mean()))
    assert by_place["gaussian", 0.1] > by_place["gaussian", 0.8]


def test_the_ceiling_is_a_network_of_117_000_weights_that_is_always_the_same() -> None:
    training, noisy, clean = small_problem()
    first, again = ceiling.unet(training), ceiling.unet(training)
    assert first.parameters["weights"] == pytest.approx(117_000, rel=0.01)
    assert torch.equal(first.denoise(noisy), again.denoise(noisy))
    assert first.denoise(noisy).shape == clean.shape


def test_the_ceiling_learns_and_takes_images_of_any_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "IMAGES", 4_000)
    clean = torch.zeros(200, 1, 9, 14, dtype=torch.uint8)
    clean[:, :, :, 7:] = 255
    noisy = (clean / 255 + 0.5 * torch.randn(clean.shape, generator=seeded())).clamp(0, 1)
    denoise = ceiling.unet(Training(clean[:150], noisy[:150])).denoise
    error = metrics.mse(denoise(noisy[150:]), clean[150:] / 255).mean()
    assert float(error) < 0.1 * float(metrics.mse(noisy[150:], clean[150:] / 255).mean())
