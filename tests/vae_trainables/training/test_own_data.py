"""From a path to a trained trial: every format's images through load, fit and one epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vae_trainables.datasets import made
from vae_trainables.config import TrialConfig
from vae_trainables.datasets import TrialData, open_source
from vae_trainables.evaluation import baselines, features
from vae_trainables.evaluation.evaluator import as_float, evaluation_noise
from vae_trainables.training.session import Session

SMALL: dict[str, Any] = {
    "widths": (4, 8), "hidden": (16,), "latent_dim": 3, "epochs": 1, "noise_factor": 0.4,
}  # fmt: skip


def _npz(root: Path) -> Path:
    np.savez(root / "set.npz", images=made.images(1, (9, 20)), labels=made.labels())
    return root / "set.npz"


def _flat(root: Path) -> Path:
    for i, image in enumerate(made.images(1, (24, 40))):
        made.save(image, root / f"{i}.png")
    return root


WRITTEN: dict[str, Callable[[Path], Path]] = {
    "folder, colour": lambda root: made.folder(root / "pets", made.images(3, (32, 32))),
    "npz, not square": _npz,
    "CSV": lambda root: made.csv(root / "set.csv", made.images()),
    "flat, unlabelled": _flat,
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae", "hier_conv_vae"])
def test_own_data_trains_to_its_end(
    written: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "LEAST_STEPS", 4)
    source = open_source("x", data=str(WRITTEN[written](tmp_path)))
    facts, splits = source.facts, source.splits()
    assert facts is not None
    channels, height, width = facts.shape
    asked = ("probe", "frechet") if facts.labelled and kind == "conv_vae" else ()
    config = TrialConfig(
        kind=kind, channels=channels, image_size=(height, width), evaluations=asked,
        num_classes=max(2, len(facts.classes)), supcon_gamma=float(facts.labelled), **SMALL,
    )  # fmt: skip
    net = None
    if "frechet" in asked:
        net = dict(features.train_feature_net(splits["train"], epochs=1).net.state_dict())
    data = TrialData(splits["train"], splits["val"], splits["test"], net)
    record = Session(config, data, tmp_path / "trial", open_test=facts.labelled).next_record()
    assert record.outcome == "finished", record.reason
    assert np.isfinite(list(record.metrics.values())).all()
    assert {f"val/{name}" for name in asked} <= record.metrics.keys()


def test_linear_baselines_are_left_out_where_a_covariance_would_be_too_large() -> None:
    names = ["do nothing", "mean image", "wiener rank 16", "wiener", "pca"]
    assert baselines.affordable(names, 64 * 64) == names
    assert baselines.affordable(names, 3 * 64 * 64) == ["do nothing", "mean image"]


def test_colour_images_have_baselines(tmp_path: Path) -> None:
    path = made.folder(tmp_path / "pets", made.images(3, (8, 12)))
    clean = as_float(open_source("x", data=str(path)).splits()["val"].images)
    noisy = evaluation_noise(clean, "gaussian", 0.3)
    training = baselines.Training((clean * 255).round().byte(), noisy)
    names = ["do nothing", "mean image", "wiener", "pca", "lookup"]
    rows = baselines.evaluate_all(
        training, noisy, clean, components=500, names=names, folder=tmp_path
    )
    assert [row["name"] for row in rows] == names
