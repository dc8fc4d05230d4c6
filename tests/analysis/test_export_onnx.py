"""ONNX: every kind of model does there what it does in torch, or no file is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis import export_onnx
from analysis.export_onnx import TOLERANCE, OnnxError, export
from tests.analysis.trained_study import TINY, TrainedStudy, mean_psnr, noisy_and_clean
from vae_trainables.config import LikelihoodKind, TrialConfig
from vae_trainables.evaluation.features import FeatureNet
from vae_trainables.inference import Denoiser
from vae_trainables.kinds import KINDS as BUILT_IN
from vae_trainables.objective import likelihoods
from vae_trainables.training.trial import build_model

KINDS = tuple(BUILT_IN)
LIKELIHOODS = get_args(LikelihoodKind)


def untrained(**changes: object) -> Denoiser:
    config = TrialConfig(latent_dim=6, hidden=(32,), width=0.25).model_copy(update=changes)
    model = build_model(config).eval()
    classifier = FeatureNet().eval() if model.conditional else None
    return Denoiser(config, model, likelihoods.build(config.model), classifier)


def onnx_run(path: Path, images: np.ndarray) -> list[np.ndarray]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["clean", "codes"], {"noisy": images})  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_is_the_same_in_onnx(kind: str, tmp_path: Path) -> None:
    denoiser = untrained(kind=kind)
    assert export(denoiser, tmp_path / "m.onnx") <= TOLERANCE
    images = np.random.default_rng(1).random((5, 1, 28, 28), dtype=np.float32)
    clean, codes = onnx_run(tmp_path / "m.onnx", images)
    np.testing.assert_allclose(clean, denoiser.denoise(images), atol=TOLERANCE)
    np.testing.assert_allclose(codes, denoiser.encode(images), atol=TOLERANCE)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihoods_image_is_the_same_in_onnx(likelihood: str, tmp_path: Path) -> None:
    assert export(untrained(kind="mlp_vae", likelihood=likelihood), tmp_path / "m.onnx") <= 1e-5


@pytest.mark.slow
def test_a_file_that_differs_from_torch_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_onnx, "largest_difference", lambda *_: float("nan"))
    with pytest.raises(OnnxError, match="differs from torch by nan"):
        export(untrained(kind="mlp_vae"), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named_with_the_way_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = CliRunner().invoke(
        export_onnx.app, ["--model", "models:/x@champion", "--out", str(tmp_path / "m.onnx")]
    )
    assert done.exit_code == 2
    expected = (
        "error: onnxscript not installed; get what is needed with make dev, or with "
        "pip install '.[onnx]' in the checkout\n"
    )
    assert done.stderr == expected


@pytest.mark.slow
def test_the_exported_winner_denoises_as_well_as_its_run_says(
    trained: TrainedStudy, tmp_path: Path
) -> None:
    folder = Path(trained.uri.removeprefix("sqlite:///")).parent / "trials" / "confirm-0001"
    path = tmp_path / "deep" / "winner.onnx"
    done = CliRunner().invoke(export_onnx.app, ["--model", str(folder), "--out", str(path)])
    assert done.exit_code == 0, done.stderr
    assert "largest difference to torch" in done.stdout
    noisy, clean = noisy_and_clean("test", TINY)
    found, _ = onnx_run(path, noisy)
    expected = trained.metrics["confirm-0001"]["test/psnr"]
    assert mean_psnr(found, clean) == pytest.approx(expected, abs=0.01)
