"""A study of own pictures from the command line to a denoised picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.vae_trainables.datasets import made

ROOT = Path(__file__).parent.parent.parent


def run(folder: Path, *words: str) -> str:
    """What a command of the package prints, its files in `folder`."""
    env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    env |= {"OMP_NUM_THREADS": "1", "VAE_STUDIES_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.alone  # starts Ray
@pytest.mark.slow
def test_a_folder_of_pictures_becomes_a_confirmed_study_and_a_denoiser(tmp_path: Path) -> None:
    pets = made.folder(tmp_path / "pets", made.images(3, (20, 28)), ("cat", "dog", "emu"))
    (pets / "cat/broken.png").touch()
    storage, uri = str(tmp_path / "runs"), f"sqlite:///{tmp_path}/runs/mlflow.db"
    said = run(
        tmp_path, "studies.denoise_sweep", "--data", str(pets), "--set", "widths=[4,8]",
        "--set", "latent_dim=4", "--trials", "2", "--epochs", "1", "--cpus", "1",
        "--scheduler", "none", "--confirm-top", "1", "--confirm-seeds", "2",
        "--storage", storage, "--study", "pets",
    )  # fmt: skip
    assert "data: pets: 18 training images, 20 × 28 colour, 3 classes" in said
    assert "1 broken or empty files left out: cat/broken.png (empty)" in said
    record = json.loads((tmp_path / "runs/pets/record/study.json").read_text())
    assert record["classes"] == ["cat", "dog", "emu"]
    assert "latent_dim" not in record["distributions"]
    run(tmp_path, "analysis.report", "--study", "pets", "--tracking-uri", uri, "--out", storage)
    assert "emu" in (tmp_path / "runs/index.html").read_text("utf-8")
    run(tmp_path, "analysis.publish", "--study", "pets", "--tracking-uri", uri)
    Image.fromarray(np.full((40, 40, 3), 120, np.uint8)).save(tmp_path / "photo.png")
    run(
        tmp_path, "analysis.denoise", str(tmp_path / "photo.png"), "--model",
        "models:/pets@champion", "--tracking-uri", uri, "--out", str(tmp_path / "clean"),
    )  # fmt: skip
    assert Image.open(tmp_path / "clean/photo-clean.png").size == (28, 20)
