"""What a tracker tells of earlier studies, asked by a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studies.errors import InputError
from studies.tracker import earlier, names
from studies.tracker.delivery import Delivery
from studies.tracker.earlier import Earlier, EarlierTrial

STUDY = "a pilot"
DATA = {"train": "aaaa", "val": "bbbb"}


def run_events(key: str, phase: str, status: str, lr: float) -> list[dict[str, Any]]:
    tags = {names.ROLE: names.ROLE_TRIAL, names.STUDY: STUDY, names.PHASE: phase}
    tags[names.TRIAL] = key
    run = {"event": "run", "key": key, "name": key, "tags": tags, "params": {"lr": lr}, "time": 1}
    epochs = [
        {
            "event": "metrics",
            "key": key,
            "epoch": epoch,
            "values": {"val/mse": lr / epoch},
            "time": 2,
        }
        for epoch in (1, 2)
    ]
    end = {"event": "status", "key": key, "status": status, "reason": "", "time": 3}
    return [run, *epochs, end]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pilot of three trials, one of them pruned, and one confirmed."""
    folder = tmp_path_factory.mktemp("storage")
    uri = f"sqlite:///{folder}/mlflow.db"
    path = folder / "a_pilot" / names.PROVENANCE_FILE
    path.parent.mkdir()
    path.write_text(json.dumps({"data": DATA, "code": "cccc"}))
    tags = {names.ROLE: names.ROLE_STUDY, names.STUDY: STUDY}
    parent = {"event": "run", "key": "", "name": "x", "tags": tags, "params": {}, "time": 1}
    Delivery(uri, STUDY, (folder / "artifacts" / "a_pilot").as_uri()).deliver(
        [
            parent,
            {"event": "artifact", "key": "", "path": str(path), "folder": None},
            *run_events("0001", "search", "finished", 2e-3),
            *run_events("0000", "search", "finished", 1e-3),
            *run_events("0002", "search", "pruned", 3e-3),
            *run_events("confirm-0000", "confirm", "finished", 4e-3),
        ]
    )
    return uri


def test_finished_trials_of_the_search_with_their_last_figures(uri: str) -> None:
    assert earlier.read(uri, [STUDY]) == [
        Earlier(
            STUDY,
            DATA,
            "cccc",
            [
                EarlierTrial("0000", {"lr": "0.001"}, {"val/mse": 0.0005}),
                EarlierTrial("0001", {"lr": "0.002"}, {"val/mse": 0.001}),
            ],
            others=1,
        )
    ]


def test_a_study_that_is_not_there_is_named(uri: str) -> None:
    with pytest.raises(InputError, match="--warm-start: there is no study 'nobody' in the tracker"):
        earlier.read(uri, [STUDY, "nobody"])


def test_a_tracker_that_cannot_be_read_is_one_line_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database")
    with pytest.raises(InputError, match="--warm-start: ") as error:
        earlier.read(f"sqlite:///{tmp_path}/mlflow.db", [STUDY])
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="--warm-start: ") as error:
        earlier.read("postgresql+nothing://ada:s3cret@127.0.0.1:9/x", [STUDY])
    assert "s3cret" not in str(error.value)
