"""The denoise command: files in, clean files out, and a plain word about each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from analysis import denoise
from analysis.models.own_images import OwnImageError
from analysis.publish import publish
from tests.analysis.trained_study import TINY, TrainedStudy, mean_psnr, noisy_and_clean
from vae_trainables import checkpoint
from vae_trainables.config import TrialConfig
from vae_trainables.evaluation.features import FeatureNet
from vae_trainables.inference import Denoiser
from vae_trainables.training.trial import build_model

RNG = np.random.default_rng(0)
CONFIG = TrialConfig(kind="mlp_vae", hidden=(32,), latent_dim=5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("weights") / "weights.safetensors", CONFIG)


def written(path: Path, config: TrialConfig) -> Path:
    tensors = {f"model/{k}": v for k, v in build_model(config).state_dict().items()}
    checkpoint.write_tensors(path, tensors, {"config": config.model_dump(mode="json"), "epoch": 1})
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(denoise.app, [str(each) for each in arguments])
    return done.exit_code, done.stdout, done.stderr


def picture(path: Path, height: int = 28, width: int = 28) -> Path:
    Image.fromarray(RNG.integers(0, 100, (height, width), dtype=np.uint8)).save(path)
    return path


def test_a_picture_becomes_what_the_model_makes_of_it(weights: Path, tmp_path: Path) -> None:
    path = picture(tmp_path / "shirt.png")
    code, out, error = run(path, "--model", weights, "--out", tmp_path / "clean")
    assert (code, error) == (0, "")
    assert f"{path}: 28x28 L -> {tmp_path / 'clean' / 'shirt-clean.png'}" in out
    expected = Denoiser.load(weights).denoise(np.asarray(Image.open(path))[None])[0]
    found = np.asarray(Image.open(tmp_path / "clean" / "shirt-clean.png"))
    np.testing.assert_array_equal(found, (expected * 255).round())


def test_a_folder_is_denoised_file_by_file_and_its_bad_files_named(
    weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    picture(folder / "a.jpg", 40, 60)
    picture(folder / "a.png", 10, 10)
    np.save(folder / "many.npy", RNG.random((5, 1, 28, 28)))
    (folder / "broken.png").write_bytes(b"\x89PNG")
    (folder / "notes.txt").write_text("not an image")
    (folder / "inner").mkdir()
    code, out, error = run(folder, "--model", weights, "--out", tmp_path / "clean")
    assert code == 1
    assert error.startswith(f"refused: {folder / 'broken.png'}: not a picture")
    assert error.count("\n") == 1
    assert "left out: 1 files that are no images" in out
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == [
        "a-clean-2.png", "a-clean.png", "many-clean.npy", "overview.png",
    ]  # fmt: skip


def test_arrays_come_back_as_arrays_of_their_shape(weights: Path, tmp_path: Path) -> None:
    for number, shape in enumerate([(28, 28), (3, 28, 28), (3, 1, 28, 28)]):
        values = RNG.random(shape)
        np.save(tmp_path / f"{number}.npy", values)
        run(tmp_path / f"{number}.npy", "--model", weights, "--out", tmp_path / "clean")
        found = np.load(tmp_path / "clean" / f"{number}-clean.npy")
        expected = Denoiser.load(weights).denoise(values.reshape(-1, 28, 28))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected.reshape(shape))


def test_an_inverted_picture_comes_back_as_bright_as_it_was(weights: Path, tmp_path: Path) -> None:
    dark = RNG.integers(0, 60, (28, 28), dtype=np.uint8)
    Image.fromarray(dark).save(tmp_path / "dark.png")
    Image.fromarray(255 - dark).save(tmp_path / "bright.png")
    paths = (tmp_path / "dark.png", tmp_path / "bright.png")
    code, out, _ = run(*paths, "--invert", "auto", "--model", weights, "--out", tmp_path / "clean")
    assert code == 0
    assert "bright.png: 28x28 L, inverted" in out
    first, second = (
        np.asarray(Image.open(tmp_path / "clean" / f"{name}-clean.png")).astype(int)
        for name in ("dark", "bright")
    )
    assert abs(first - (255 - second)).max() <= 1


def test_the_overview_shows_pairs_and_no_more_than_fit(weights: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", RNG.random((40, 28, 28)))
    run(tmp_path / "many.npy", "--model", weights, "--out", tmp_path)
    size = 28 * denoise.ENLARGED
    assert Image.open(tmp_path / "overview.png").size == (16 * size, 2 * size)


def test_no_two_files_get_the_same_target() -> None:
    files = [Path(name) for name in ("a.png", "x/a.png", "a.jpg", "a.npy", "a-clean.png")]
    found = denoise.targets(files, Path("o"))
    assert [path.name for path in found.values()] == [
        "a-clean.png", "a-clean-2.png", "a-clean-3.png", "a-clean.npy", "a-clean-clean.png",
    ]  # fmt: skip


def test_what_is_not_there_or_would_be_overwritten_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "a.png")
    for path, message in (
        (tmp_path / "absent", "no file or folder"),
        (tmp_path / "empty", "without images"),
        (tmp_path, "also --out"),
    ):
        with pytest.raises(OwnImageError, match=message):
            denoise.find([path], tmp_path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("absent.safetensors", "there is no file absent.safetensors"),
        ("absent", "there is no file or folder absent; an MLflow address has models:/"),
        ("torn.safetensors", "not a whole checkpoint"),
    ],
)
def test_a_model_that_cannot_be_used_is_said_in_one_line_with_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("torn.safetensors").write_bytes(b"torn")
    code, out, error = run(picture(tmp_path / "a.png"), "--model", model)
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "clean").exists()


def test_a_single_refused_file_is_exit_code_2(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    code, out, error = run(tmp_path / "a.png", "--model", weights, "--out", tmp_path / "clean")
    assert (code, out) == (2, "")
    assert "the file is empty" in error


@pytest.mark.slow
def test_a_published_model_cleans_real_files_as_well_as_its_run_says(
    trained: TrainedStudy, tmp_path: Path
) -> None:
    published = publish(trained.name, tracking_uri=trained.uri, name="for files")
    noisy, clean = noisy_and_clean("test", TINY)
    np.save(tmp_path / "noisy.npy", noisy)
    code, _, error = run(
        tmp_path / "noisy.npy", "--model", published.registered.uri,
        "--tracking-uri", trained.uri, "--out", tmp_path / "clean",
    )  # fmt: skip
    assert (code, error) == (0, "")
    found = np.load(tmp_path / "clean" / "noisy-clean.npy")
    expected = trained.metrics[published.winner.trial]["test/psnr"]
    assert mean_psnr(found, clean) == pytest.approx(expected, abs=0.01)
    code, _, error = run(tmp_path / "noisy.npy", "--model", "models:/absent@champion",
                         "--tracking-uri", trained.uri)  # fmt: skip
    assert code == 2
    assert "absent" in error
    assert error.count("\n") == 1


def test_a_model_that_is_told_classes_predicts_them_or_takes_a_label(tmp_path: Path) -> None:
    config = TrialConfig(kind="cond_conv_vae", widths=(4, 8), latent_dim=3, num_classes=4)
    model = build_model(config)
    tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
    brought = {f"classifier/{k}": v for k, v in FeatureNet().state_dict().items()}
    meta = {"config": config.model_dump(mode="json"), "epoch": 1}
    mute, whole = tmp_path / "mute.safetensors", tmp_path / "whole.safetensors"
    checkpoint.write_tensors(mute, tensors, meta)
    checkpoint.write_tensors(whole, tensors | brought, meta)
    path = picture(tmp_path / "shirt.png")
    clean = {}
    for label in (0, 1):
        out = tmp_path / str(label)
        assert run(path, "--model", mute, "--label", label, "--out", out)[0] == 0
        clean[label] = (out / "shirt-clean.png").read_bytes()
    assert clean[0] != clean[1]
    assert run(path, "--model", whole, "--out", tmp_path / "predicted")[0] == 0
    for arguments, message in (
        (("--model", mute), "give --label"),
        (("--model", whole, "--label", 4), "--label 4: the classes of"),
    ):
        code, _, error = run(path, *arguments, "--out", tmp_path / "none")
        assert code == 2, error
        assert message in error


def test_a_label_for_a_model_that_is_told_none_is_refused(weights: Path, tmp_path: Path) -> None:
    path = picture(tmp_path / "shirt.png")
    code, _, error = run(path, "--model", weights, "--label", 3, "--out", tmp_path / "none")
    assert code == 2, error
    assert "is told no classes; leave the label out" in error
