"""What a study tells of the baselines: of each split that is open, learned from what trials see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from studies.runner.publication import QUICK_BASELINES, baseline_rows, baseline_training
from vae_trainables import datasets
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.baselines import BASELINES


def test_baselines_are_those_of_the_splits_that_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_STUDIES_CACHE", str(tmp_path))
    data = TrialData(*(datasets.load("digits", split) for split in ("train", "val", "test")))
    data = TrialData(data.train.take(200), data.val.take(20), data.test and data.test.take(10))
    config = TrialConfig(dataset="digits", latent_dim=4)
    training = baseline_training(config, data)
    rows = baseline_rows(config, training, data)
    assert [r["name"] for r in rows if r["split"] == "val"] == list(QUICK_BASELINES)
    assert [r["name"] for r in rows if r["split"] == "test"] == list(BASELINES)
    assert {(r["split"], r["n"]) for r in rows} == {("val", 20), ("test", 10)}
    unopened = baseline_rows(config, training, replace(data, test=None))
    assert unopened == [r for r in rows if r["split"] == "val"]
