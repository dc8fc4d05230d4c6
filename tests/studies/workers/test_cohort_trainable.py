"""A worker's step: letters in, records and what became of its trials out."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studies.workers import cohorts
from studies.workers.cohorts import CohortTrainable
from studies.workers.metering import Meter
from studies.workers.workbench import Workbench
from tests.vae_trainables.cohort.support import config, small_data
from vae_trainables import checkpoint


@pytest.fixture
def letters() -> list[dict[str, Any]]:
    """What lies in the worker's mailbox; taking empties it."""
    return []


@pytest.fixture
def worker(letters: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> CohortTrainable:
    """A worker without Ray, with two slots; its checkpoints are an hour apart."""

    def take(name: str) -> list[dict[str, Any]]:
        taken = letters.copy()
        letters.clear()
        return taken

    monkeypatch.setattr(cohorts.ray, "get", lambda value: value)
    made = CohortTrainable.__new__(CohortTrainable)
    made.name, made.mailbox = "worker-0", SimpleNamespace(take=SimpleNamespace(remote=take))
    made.meter = Meter("cpu")
    made.bench = Workbench(small_data(), device="cpu", slots=2, save_every_s=3600)
    return made


def letter(key: str, folder: Path) -> dict[str, Any]:
    text = config(epochs=5, seed=int(key)).model_dump_json()
    place = {"key": key, "config": text, "folder": str(folder / key)}
    return place | {"open_test": False, "told": 0, "keep_at": []}


def test_a_trial_that_is_to_move_is_saved_and_given_up(
    worker: CohortTrainable, letters: list[dict[str, Any]], tmp_path: Path
) -> None:
    letters += [letter("0", tmp_path), letter("1", tmp_path)]
    first = worker.step()
    assert [key for key, _ in json.loads(first["records"])] == ["0", "1"]
    assert (first["moved"], list(json.loads(first["stacked"]).values())) == ("[]", [2])
    letters += [
        {"move": "1"},
        {"move": "9"},
    ]  # "9" has ended since
    second = worker.step()
    assert json.loads(second["moved"]) == ["1"]
    assert [key for key, _ in json.loads(second["records"])] == ["0"]
    saved, _ = checkpoint.load_newest(tmp_path / "1")
    assert saved is not None
    assert saved[1]["epoch"] == 1


def test_a_trial_that_cannot_be_saved_says_so_and_stays_nobodys(
    worker: CohortTrainable, letters: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "0").write_text("no folder")
    letters.append(letter("0", tmp_path))
    worker.step()
    letters.append({"move": "0"})
    result = worker.step()
    ((key, text),) = json.loads(result["records"])
    assert (key, json.loads(text)["outcome"] != "running", result["moved"]) == ("0", True, "[]")
