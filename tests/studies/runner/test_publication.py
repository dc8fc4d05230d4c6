"""What a study tells the tracker of baselines: in tables, and over noise where trials are tried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from studies import denoise_sweep
from studies.runner import publication
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings
from studies.tracker import names
from studies.tracker.tracker import Tracker
from vae_trainables import datasets
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation import baselines
from vae_trainables.evaluation.baselines import ceiling
from vae_trainables.evaluation.baselines import training as learned
from vae_trainables.evaluation.evaluator import ROBUSTNESS_FACTORS, ROBUSTNESS_KINDS

SLICES = Path(__file__).parents[2] / "data" / "fashion-mnist"


class Taken:
    """A tracker's place: which files it was given."""

    def __init__(self) -> None:
        self.files: list[str] = []

    def artifact(self, run: str, path: Path) -> None:
        """Keeps the name; `run` is '' for the study's own."""
        assert run == ""
        self.files.append(path.name)


@pytest.fixture
def data() -> TrialData:
    splits: dict[str, Any] = {
        name: datasets.load("fashion-mnist", name, SLICES) for name in ("train", "val", "test")
    }
    return TrialData(**{name: split.take(60) for name, split in splits.items()})


def training(plan: Plan, data: TrialData) -> baselines.Training:
    return publication.baseline_training(plan.reference, data)


def test_the_noisy_input_wiener_and_lookup_are_tried_where_the_trials_are(
    data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned, "TUNING_IMAGES", 10)
    plan, taken = make_plan(denoise_sweep.STUDY, Settings(confirm_top=1)), Taken()
    (tmp_path / "record").mkdir()
    tracker = cast(Tracker, taken)
    publication.publish_robustness(tracker, plan, data, tmp_path, training(plan, data))
    rows = json.loads((tmp_path / "record" / names.BASELINE_ROBUSTNESS_FILE).read_text())
    tried = {name: [row for row in rows if row["name"] == name] for name in ("wiener", "lookup")}
    assert len(tried["wiener"]) == len(ROBUSTNESS_KINDS) * len(ROBUSTNESS_FACTORS)
    assert {row["kind"] for row in tried["lookup"]} == {plan.reference.evaluation.noise_kind}
    assert taken.files == [names.BASELINE_ROBUSTNESS_FILE]
    monkeypatch.setattr(baselines, "over_noise", None)
    publication.publish_robustness(tracker, plan, data, tmp_path, training(plan, data))
    assert len(taken.files) == 2, "a resumed study sends what it has, and tries nothing again"


def test_without_test_images_or_trials_on_them_nothing_is_tried(
    data: TrialData, tmp_path: Path
) -> None:
    plan, taken = make_plan(denoise_sweep.STUDY, Settings(confirm_top=1)), Taken()
    tracker = cast(Tracker, taken)
    fitted = training(plan, data)
    publication.publish_robustness(tracker, plan, replace(data, test=None), tmp_path, fitted)
    unconfirmed = make_plan(denoise_sweep.STUDY, Settings())
    publication.publish_robustness(tracker, unconfirmed, data, tmp_path, fitted)
    assert taken.files == []


def test_baselines_are_those_of_the_splits_that_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_STUDIES_CACHE", str(tmp_path))
    data = TrialData(*(datasets.load("digits", split) for split in ("train", "val", "test")))
    data = TrialData(data.train.take(200), data.val.take(20), data.test and data.test.take(10))
    config = TrialConfig(dataset="digits", latent_dim=4)
    training = publication.baseline_training(config, data)
    rows = publication.baseline_rows(config, training, data)
    assert [r["name"] for r in rows if r["split"] == "val"] == list(publication.QUICK_BASELINES)
    assert [r["name"] for r in rows if r["split"] == "test"] == list(baselines.FLOORS)
    assert {(r["split"], r["n"]) for r in rows} == {("val", 20), ("test", 10)}
    unopened = publication.baseline_rows(config, training, replace(data, test=None))
    assert unopened == [r for r in rows if r["split"] == "val"]


@pytest.mark.parametrize(
    ("flags", "available", "trained"),
    [
        ({"trials": 100, "epochs": 20}, 55_000, True),
        ({"trials": 100, "epochs": 20}, 600, False),
        ({"trials": 20, "epochs": 10}, 55_000, False),
        ({"trials": 6, "epochs": 2}, 55_000, False),
        ({"trials": 100, "epochs": 20, "train_size": 5_000}, 55_000, False),
        ({"trials": 100, "epochs": 20, "train_size": 55_000}, 600, False),
        ({"trials": 100, "epochs": 20, "ceiling": "off"}, 55_000, False),
        ({"trials": 1, "epochs": 1, "ceiling": "on"}, 600, True),
        ({"reference": True}, 55_000, False),
    ],
)
def test_the_ceiling_is_trained_beside_large_studies_and_where_asked(
    flags: dict[str, Any], available: int, trained: bool
) -> None:
    plan = make_plan(denoise_sweep.STUDY, Settings(**flags))
    assert publication.has_ceiling(plan, available) == trained


def test_the_ceiling_stands_in_the_rows_of_test_images_and_is_kept(
    data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_STUDIES_CACHE", str(tmp_path))
    monkeypatch.setattr(learned, "TUNING_IMAGES", 10)
    monkeypatch.setattr(ceiling, "IMAGES", 64)
    config, name = denoise_sweep.REFERENCE, baselines.CEILING
    fitted = publication.baseline_training(config, data)
    rows = publication.baseline_rows(config, fitted, data, (name,))
    assert [row["split"] for row in rows if row["name"] == name] == ["test"]
    monkeypatch.setitem(baselines.BASELINES, name, lambda *_: pytest.fail("trained again"))
    assert publication.baseline_rows(config, fitted, data, (name,)) == rows
