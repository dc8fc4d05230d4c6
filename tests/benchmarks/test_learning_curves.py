"""What the collection exports from the tracker, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest

from analysis.tracker import results
from analysis.tracker.client import Point, Record
from benchmarks import learning_curves
from benchmarks.curve_table import load, save
from benchmarks.learning_curves import EPOCHS, SEEDS
from studies.errors import StudyError
from studies.tracker import names
from tests.benchmarks.curves import table
from vae_trainables.config import TrialConfig


def configurations(count: int) -> list[TrialConfig]:
    plan = learning_curves.plan()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=5))
    return [plan.configure(study.ask()) for _ in range(count)]


def run(key: int, config: TrialConfig, seed: int, status: str) -> Record:
    tags = {
        names.ROLE: names.ROLE_TRIAL,
        names.TRIAL: f"{key:04d}",
        names.CONFIG: config.fingerprint(),
        names.SEED: str(seed),
        names.STATUS: status,
    }
    params = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in config.flat().items()
    }
    return Record(f"run{key}", "FINISHED", 0, 1, params, {"val/mse": 0.1}, {"val/mse": 1}, tags)


class Told:
    """A tracker that holds some runs."""

    def __init__(self, records: list[Record]) -> None:
        self.all = records

    def records(self, study: str) -> list[Record]:
        assert study == "learning-curves-3"
        return self.all

    def histories(self, run_ids: list[str], metrics: tuple[str, ...]) -> list[Point]:
        assert metrics == ("val/mse",)
        return [
            Point(run_id, "val/mse", epoch, int(run_id[3:]) + epoch / 100)
            for run_id in run_ids
            for epoch in range(1, EPOCHS + 1)
        ]


class Provenance:
    provenance: ClassVar[dict[str, Any]] = {"git": {"commit": "c"}, "versions": {}, "machine": {}}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    whole, half, diverged, running = configurations(4)
    records = [
        run(0, whole, 3000, "finished"),
        run(3, whole, 3001, "finished"),
        run(1, half, 3000, "finished"),  # its second seed is not there yet
        run(2, diverged, 3000, "diverged"),
        run(4, running, 3000, "running"),
    ]
    monkeypatch.setattr(learning_curves, "Tracker", lambda uri: Told(records))
    monkeypatch.setattr(results, "collect", lambda name, tracker: Provenance())
    return records


def test_what_has_ended_is_exported_with_its_parameters(told: list[Record], tmp_path: Path) -> None:
    made = learning_curves.of_batch(tmp_path, 3)
    whole, _, diverged, _ = configurations(4)
    assert [TrialConfig(**settings) for settings in made.configs] == [
        config.model_copy(update={"watch": "val/neg_elbo"}) for config in (whole, diverged)
    ]
    assert made.status.tolist() == [["finished", "finished"], ["diverged", ""]]
    assert made.seeds.tolist() == [[3000, 3001], [3000, -1]]
    assert made.complete().tolist() == [True, False]
    expected = np.array([[0.0], [3.0]]) + np.arange(1, EPOCHS + 1) / 100
    assert made.curve("val/mse")[0] == pytest.approx(expected)
    assert np.isnan(made.curve("val/mse")[1, 1]).all()
    assert made.facts["git"] == {"commit": "c"}
    plan = learning_curves.plan()
    for parameters, config in zip(made.parameters, (whole, diverged), strict=True):
        trial = optuna.trial.FixedTrial(dict(parameters))
        assert plan.configure(trial) == config  # type: ignore[arg-type]


def test_an_export_adds_to_the_table(told: list[Record], tmp_path: Path) -> None:
    (tmp_path / "learning-curves-3").mkdir()
    (tmp_path / "learning-curves-3" / "ledger.journal").touch()
    out = tmp_path / "table"
    assert len(learning_curves.export(tmp_path, out)) == 2
    assert len(learning_curves.export(tmp_path, out)) == 2, "the batch replaces itself"
    assert load(out).batches.tolist() == [3, 3]


def test_nothing_collected_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="collect some first"):
        learning_curves.export(tmp_path, tmp_path / "table")


def test_a_new_storage_begins_behind_the_table_and_an_old_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[dict[str, Any]] = []

    class Ended:
        outcome = "finished"

    def recorded(self: Any, **flags: Any) -> Ended:
        ran.append(flags)
        return Ended()

    monkeypatch.setattr(learning_curves.Study, "run", recorded)
    monkeypatch.setattr(learning_curves, "PATH", tmp_path / "table")
    save(table(3, batch=4), tmp_path / "table")
    monkeypatch.setattr(learning_curves, "load", lambda: load(tmp_path / "table"))
    assert learning_curves.collect(tmp_path, 10, 1) == 0
    assert (ran[0]["study"], ran[0]["resume"], ran[0]["seed"]) == ("learning-curves-5", False, 5000)
    assert (ran[0]["scheduler"], ran[0]["sampler"], ran[0]["seeds"]) == ("none", "random", SEEDS)
    (tmp_path / "learning-curves-5").mkdir()
    (tmp_path / "learning-curves-5" / "ledger.journal").touch()
    learning_curves.collect(tmp_path, 20, 1)
    assert (ran[1]["study"], ran[1]["resume"], ran[1]["trials"]) == ("learning-curves-5", True, 20)


def test_every_point_of_the_space_lies_in_the_wide_one() -> None:
    from studies import denoise_sweep
    from studies.runner import pins

    wide, small = pins.suggestions(denoise_sweep.wide), pins.suggestions(learning_curves.space)
    assert set(small) == set(wide)
    for name, distribution in small.items():
        ends = getattr(distribution, "choices", None) or (distribution.low, distribution.high)  # type: ignore[attr-defined]
        for value in ends:
            assert wide[name]._contains(wide[name].to_internal_repr(value)), name


def test_images_are_at_half_their_size() -> None:
    import torch

    pixels = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    pixels[0, 0, 2, 4:6] = 200
    halved = learning_curves._halved(pixels)
    assert halved.shape == (1, 1, 14, 14)
    assert halved.dtype == torch.uint8
    assert halved[0, 0, 1, 2] == 100
    assert halved.sum() == 100
