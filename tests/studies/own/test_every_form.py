"""The how-to from end to end: own data of each form, own model and loss, a power cut on the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image

from studies.tracker import names
from tests.studies.own.strangers import ROOT, call, kill_while_it_trains

STUDY = "colour_resnet_vae"
FLAGS = (
    *("--trials", "2", "--epochs", "3", "--cpus", "2", "--scheduler", "none"),
    *("--confirm-top", "1", "--confirm-seeds", "2", "--set", "depth=1", "--set", "base_channels=8"),
)
SIDE, CLASSES = 16, 6  # small: a study's time is its baselines' eigenvectors, with the pixels cubed


def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour images (N, 16, 16, 3), uint8, of coloured discs, and the class of each, sorted."""
    rng = np.random.default_rng(1)
    labels = np.arange(count) * CLASSES // count
    y, x = np.mgrid[:SIDE, :SIDE]
    row, column = rng.uniform(4, 12, (2, count, 1, 1))
    disc = (y - row) ** 2 + (x - column) ** 2 < rng.uniform(2, 5, (count, 1, 1)) ** 2
    colours = rng.integers(80, 256, (CLASSES, 3))[labels][:, None, None]
    noise = rng.integers(0, 40, (count, SIDE, SIDE, 3))
    return (np.where(disc[..., None], colours, 30) + noise).clip(0, 255).astype("u1"), labels


def folder(home: Path) -> Path:
    images, labels = drawn(600)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = home / "pets" / f"kind {label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    (home / "pets/kind 0/broken.png").touch()
    return home / "pets"


def unlabelled(home: Path) -> Path:
    (home / "photos").mkdir()
    for number, image in enumerate(drawn(300)[0]):
        Image.fromarray(image).save(home / "photos" / f"{number}.png")
    return home / "photos"


def npz(home: Path) -> Path:
    images, labels = drawn(400)
    np.savez(home / "pets.npz", images=images, labels=labels)
    return home / "pets.npz"


def csv(home: Path) -> Path:
    images, labels = drawn(300)
    grey = images.mean(3).astype("u1").reshape(len(images), -1)
    table = pd.DataFrame(grey, columns=[f"pixel{i}" for i in range(grey.shape[1])])
    table.insert(0, "label", labels)
    table.to_csv(home / "pets.csv", index=False)
    return home / "pets.csv"


SHORT = [folder]
FORMS = [folder, unlabelled, npz, csv] if os.environ.get("VAE_STUDIES_FORMS") == "full" else SHORT


@pytest.mark.alone  # starts Ray
@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_from_a_path_to_a_denoised_picture(form: Callable[[Path], Path], tmp_path: Path) -> None:
    home = tmp_path
    shutil.copy(ROOT / "docs/examples" / f"{STUDY}.py", home)
    data = str(form(home))
    begin = ("-m", "studies.run", f"{STUDY}.py", "--data", data, *FLAGS)
    kill_while_it_trains(home, STUDY, *begin)
    said = call(home, *begin, "--resume")
    if form is folder:
        assert "1 broken or empty files left out: kind 0/broken.png (empty)" in said

    client = MlflowClient(f"sqlite:///{home}/runs/mlflow.db")
    experiment = client.get_experiment_by_name(STUDY)
    runs = client.search_runs([experiment.experiment_id])
    trials = [run for run in runs if run.data.tags[names.ROLE] == names.ROLE_TRIAL]
    assert {run.data.tags[names.STATUS] for run in trials} == {"finished"}
    confirmed = [run for run in trials if run.data.tags[names.PHASE] == "confirm"]
    assert len(runs) == 1 + len(trials)
    assert len(trials) - len(confirmed) == 2
    assert {run.data.params["depth"] for run in trials} == {"1"}
    assert all("train/colour" in run.data.metrics for run in trials)

    (home / f"{STUDY}.py").unlink()  # the tracker alone has to do from here on
    assert "bit-equal" in call(home, "-m", "studies.reproduce", trials[0].info.run_id, "--check")
    again = call(home, "-m", "studies.confirm_again", STUDY, "--seeds", "1")
    assert again.count("2 seeds; again") == 2
    call(home, "-m", "analysis.report", "--study", STUDY, "--out", "report")
    page = (home / "report/index.html").read_text("utf-8")
    assert "depth" in page
    assert ("kind 5" in page) == (form is folder)
    call(home, "-m", "analysis.publish", "--study", STUDY)
    Image.fromarray(drawn(6)[0][0]).save(home / "photo.png")
    call(home, "-m", "analysis.denoise", "photo.png", "--model", f"models:/{STUDY}@champion",
         "--out", "clean")  # fmt: skip
    assert Image.open(home / "clean/photo-clean.png").size == (SIDE, SIDE)
