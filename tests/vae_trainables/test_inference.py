"""A trained model in use: what it takes, what it gives back, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_trainables import checkpoint, models
from vae_trainables.checkpoint import CheckpointError
from vae_trainables.config import TrialConfig
from vae_trainables.evaluation import evaluator as evaluation
from vae_trainables.evaluation.features import FeatureNet
from vae_trainables.inference import Denoiser, ImagesError
from vae_trainables.objective import likelihoods
from vae_trainables.training.trial import build_model

CONFIG = TrialConfig(kind="mlp_vae", hidden=(32,), latent_dim=5, seed=3)
IMAGES = np.random.default_rng(0).random((7, 28, 28), dtype=np.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    tensors = {f"model/{k}": v for k, v in build_model(CONFIG).state_dict().items()}
    checkpoint.write_tensors(path, tensors, {"config": CONFIG.model_dump(mode="json"), "epoch": 1})
    return path


@pytest.fixture(scope="module")
def denoiser(weights: Path) -> Denoiser:
    return Denoiser.load(weights)


def test_it_computes_what_the_evaluation_computes(denoiser: Denoiser) -> None:
    model = build_model(CONFIG)
    batch = torch.from_numpy(IMAGES)[:, None]
    expected = evaluation.denoise(model, likelihoods.build(CONFIG.model), batch).numpy()
    np.testing.assert_array_equal(denoiser.denoise(IMAGES[:, None]), expected)
    with torch.inference_mode():
        np.testing.assert_array_equal(denoiser.encode(IMAGES), model.encode(batch)[0].numpy())


def test_images_come_back_in_the_shape_in_which_they_were_given(denoiser: Denoiser) -> None:
    flat, deep = denoiser.denoise(IMAGES), denoiser.denoise(IMAGES[:, None])
    assert (flat.shape, deep.shape) == ((7, 28, 28), (7, 1, 28, 28))
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(flat, deep[:, 0])
    assert 0 <= flat.min() <= flat.max() <= 1
    assert denoiser.encode(IMAGES).shape == (7, 5)


@pytest.mark.parametrize("dtype", ["float64", "float16", ">f4", object])
def test_floats_of_any_kind_are_the_same_images(denoiser: Denoiser, dtype: str) -> None:
    given = IMAGES.astype(dtype)
    atol = 2e-3 if dtype == "float16" else 1e-6
    np.testing.assert_allclose(denoiser.denoise(given), denoiser.denoise(IMAGES), atol=atol)


def test_uint8_is_scaled_and_nested_lists_are_taken(denoiser: Denoiser) -> None:
    grey = (IMAGES * 255).round().astype(np.uint8)
    np.testing.assert_allclose(denoiser.denoise(grey), denoiser.denoise(grey / 255), atol=1e-6)
    np.testing.assert_allclose(
        denoiser.denoise(IMAGES.tolist()), denoiser.denoise(IMAGES), atol=1e-6
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_read_only_and_strided_arrays_are_taken_and_left_alone(
    denoiser: Denoiser, dtype: str
) -> None:
    given = np.asfortranarray(IMAGES)[::2].astype(dtype)
    given.flags.writeable = False
    before = given.copy()
    denoiser.denoise(given)
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("kind", list(models.KINDS))
def test_no_images_give_no_images(kind: str) -> None:
    config = TrialConfig(kind=kind, widths=(4, 8), hidden=(8,), latent_dim=5, blocks=1)
    net = FeatureNet().eval() if config.model.conditional else None
    denoiser = Denoiser(config, build_model(config).eval(), likelihoods.build(config.model), net)
    assert denoiser.denoise(np.zeros((0, 28, 28))).shape == (0, 28, 28)
    assert denoiser.encode(np.zeros((0, 28, 28))).shape == (0, denoiser.model.noise_dim)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((28, 28)), r"\(N, 28, 28\) or \(N, 1, 28, 28\), got \(28, 28\)"),
        (np.zeros((2, 32, 32)), r"got \(2, 32, 32\)"),
        (np.zeros((2, 3, 28, 28)), r"got \(2, 3, 28, 28\)"),
        (np.zeros((2, 28, 28, 1)), r"got \(2, 28, 28, 1\)"),
        (np.full((1, 28, 28), 200, np.int64), "int64 from 200 to 200"),
        (np.full((1, 28, 28), -0.2), "from -0.2 to -0.2"),
        (np.full((1, 28, 28), np.nan), "nan"),
        (np.full((1, 28, 28), "x"), "numbers"),
        (np.array([[1.0], [1.0, 2.0]], dtype=object), r"got \(2,\)"),
        (None, r"got \(\)"),
    ],
)
def test_what_is_no_image_is_refused_in_words(
    denoiser: Denoiser, images: object, message: str
) -> None:
    with pytest.raises(ImagesError, match=message):
        denoiser.denoise(images)


def test_a_value_that_rounding_pushed_over_the_edge_is_still_an_image(denoiser: Denoiser) -> None:
    edge = np.full((1, 28, 28), 1 + 2e-7, np.float32)
    np.testing.assert_array_equal(denoiser.denoise(edge), denoiser.denoise(np.ones((1, 28, 28))))


def test_colour_models_take_channels_only() -> None:
    config = TrialConfig(kind="mlp_ae", hidden=(8,), channels=3, image_size=16)
    colour = Denoiser(config, models.build(config.model).eval(), likelihoods.build(config.model))
    assert colour.denoise(np.zeros((2, 3, 16, 16))).shape == (2, 3, 16, 16)
    with pytest.raises(ImagesError, match=r"expected images of shape \(N, 3, 16, 16\)"):
        colour.denoise(np.zeros((2, 16, 16)))


def test_damaged_and_foreign_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(weights.read_bytes()[:-50])
    other = tmp_path / "config.json"
    other.write_text(json.dumps(CONFIG.model_dump(mode="json") | {"latent_dim": 6}))
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{")
    with pytest.raises(CheckpointError, match="torn"):
        Denoiser.load(torn)
    for config in (other, wrong, tmp_path / "absent.json"):
        with pytest.raises(CheckpointError, match="not the weights of its model"):
            Denoiser.load(weights, config)


@pytest.fixture(scope="module")
def told() -> Denoiser:
    """A model that is told classes, with a classifier that knows nothing."""
    config = TrialConfig(kind="cond_conv_vae", widths=(4, 8), latent_dim=3)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = FeatureNet().eval()
    return Denoiser(config, build_model(config).eval(), likelihoods.build(config.model), net)


def test_classes_are_taken_as_given_or_predicted(told: Denoiser) -> None:
    batch = told.as_batch(IMAGES)
    predicted = told.classes(batch)
    assert predicted is not None
    np.testing.assert_array_equal(told.denoise(IMAGES), told.denoise(IMAGES, predicted.numpy()))
    np.testing.assert_array_equal(told.encode(IMAGES), told.encode(IMAGES, predicted.tolist()))
    other = (predicted + 1) % 10
    assert not np.array_equal(told.denoise(IMAGES), told.denoise(IMAGES, other.numpy()))


@pytest.mark.parametrize(
    "labels", [[1, 2], [1.0] * 7, [10] * 7, [-1] * 7, np.zeros((7, 1), int), "seven"]
)
def test_labels_that_do_not_fit_are_refused_in_words(told: Denoiser, labels: object) -> None:
    with pytest.raises(ImagesError, match="expected 7 labels, whole numbers from 0 to 9, got"):
        told.denoise(IMAGES, labels)


def test_who_is_told_no_classes_takes_none_and_who_lacks_them_says_so(
    denoiser: Denoiser, told: Denoiser
) -> None:
    with pytest.raises(ImagesError, match="mlp_vae takes no labels"):
        denoiser.denoise(IMAGES, [0] * 7)
    mute = replace(told, classifier=None)
    with pytest.raises(ImagesError, match="give the labels"):
        mute.denoise(IMAGES)
    assert mute.denoise(IMAGES, [0] * 7).shape == IMAGES.shape
