"""A storage that was moved or copied: read whole where it is, and nothing goes to where it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service import utils

from analysis.tracker.client import Tracker
from studies.tracker import names
from studies.tracker.delivery import Delivery
from studies.tracker.location import here, local_folder, settle
from studies.tracker.store import make_database

STUDY = "a study"


def uri(storage: Path) -> str:
    return f"sqlite:///{storage}/mlflow.db"


def delivery(storage: Path) -> Delivery:
    return Delivery(uri(storage), STUDY, (storage / "artifacts" / "a_study").as_uri())


def events(storage: Path, key: str, file: str) -> list[dict[str, Any]]:
    path = storage / "a_study" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(file)
    role = names.ROLE_TRIAL if key else names.ROLE_STUDY
    tags = {names.ROLE: role, names.STUDY: STUDY}
    run = {"event": "run", "key": key, "name": "x", "tags": tags, "params": {}, "time": 1}
    return [run, {"event": "artifact", "key": key, "path": str(path), "folder": None}]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty one, which takes seconds to make."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    make_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def storage(tmp_path: Path, database: Path) -> Path:
    """A half-finished study in a storage with letters that an address quotes."""
    folder = tmp_path / "old ü"
    folder.mkdir()
    shutil.copy(database, folder)
    made = delivery(folder)
    made.deliver(events(folder, "", "study.json"))
    made.deliver(events(folder, "0000", "weights"))
    utils._artifact_repos_cache.clear()  # what is told from here on is told by another process
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    paths = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


def read(storage: Path) -> dict[str, str]:
    """By name of the run's file: its text, as the analysis gets it."""
    tracker = Tracker(uri(storage))
    texts = {}
    for record in tracker.records(STUDY):
        for name in ("study.json", "weights", "more"):
            if (path := tracker.artifact(record.run_id, name)) is not None:
                assert path.is_relative_to(storage) or "vae-report-" in str(path)
                texts[name] = path.read_text()
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_storage_elsewhere_is_whole_and_goes_on_there(
    storage: Path, tmp_path: Path, how: Any
) -> None:
    new = tmp_path / "elsewhere" / "new"
    new.parent.mkdir()
    how(storage, new)
    before = tree(storage)
    assert read(new) == {"study.json": "study.json", "weights": "weights"}
    again = delivery(new)
    again.deliver(events(new, "0000", "more"))
    again.deliver(events(new, "0001", "weights"))
    assert read(new) == {"study.json": "study.json", "weights": "weights", "more": "more"}
    client = MlflowClient(uri(new))
    for run_id in (known.run_id for known in again.runs.values()):
        assert client.list_artifacts(run_id), "MLflow's own pages find them too"
    assert tree(storage) == before
    assert storage.exists() == (how is shutil.copytree)


@pytest.mark.slow
def test_a_storage_that_left_its_files_behind_is_named(storage: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    shutil.move(storage / "mlflow.db", new)
    tracker = Tracker(uri(new))
    run_ids = [record.run_id for record in tracker.records(STUDY)]
    assert [tracker.lost_folder(run_id) for run_id in run_ids] == [None, None]  # still in place
    shutil.rmtree(storage)
    lost = tracker.lost_folder(run_ids[0])
    assert lost is not None
    assert str(storage) in str(lost)
    again = delivery(new)
    again.deliver(events(new, "0000", "more"))
    assert not storage.exists()
    assert read(new) == {"more": "more"}


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("file:///a%20b/c", "/a b/c"),
        ("/plain/path", "/plain/path"),
        ("s3://bucket/x", None),
        ("mlflow-artifacts:/1", None),
        (None, None),
    ],
)
def test_only_folders_of_this_machine_can_move(location: str | None, folder: str | None) -> None:
    assert local_folder(location) == (Path(folder) if folder else None)


def test_what_somebody_put_elsewhere_stays_there(tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "s").mkdir(parents=True)
    database = tmp_path / "mlflow.db"
    assert here(database, "file:///gone/artifacts/s") == tmp_path / "artifacts" / "s"
    assert here(database, (tmp_path / "artifacts" / "s").as_uri()) is None
    assert here(database, "file:///gone/artifacts/other") is None
    assert here(database, "file:///mine/models/s") is None
    assert here(database, "s3://bucket/artifacts/s") is None
    assert settle("http://host") == settle(f"sqlite:///{database}") == 0
