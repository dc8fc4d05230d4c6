"""Opening an MLflow tracker to write to: its database, its experiment, and what moves with them."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType

from studies.tracker import location, names
from studies.tracker.address import is_http, sqlite_file, with_driver

KIND = "mlflow.experimentKind"  # what MLflow's pages open an experiment with
FOR_TRAINING = "custom_model_development"
UNDECIDED = (
    "",
    "genai_development_inferred",
    "custom_model_development_inferred",
    "no_inferred_type",
)
CONNECT_S = 10  # to a database; MLflow would try again and again for an hour
Opening = Literal["", "created", "restored"]


def connect(uri: str, study: str, artifact_location: str | None) -> MlflowClient:
    """A client of the tracker; raises what its database or MLflow raises, soon.

    An embedded tracker that was moved with its storage finds its files again.
    """
    uri = with_driver(uri)
    if sqlite_file(uri) is not None:
        make_database(uri)
        location.settle(uri, study, artifact_location)
    elif not is_http(uri):
        _reach_database(uri)
    return MlflowClient(tracking_uri=uri)


def open_experiment(
    client: MlflowClient, study: str, artifact_location: str | None
) -> tuple[str, Opening]:
    """The study's experiment, by id, and what had to be done for it to be there."""
    there = client.get_experiment_by_name(study)
    if there is None:
        tags = {KIND: FOR_TRAINING}
        made = client.create_experiment(study, artifact_location=artifact_location, tags=tags)
        return str(made), "created"
    deleted = there.lifecycle_stage == "deleted"
    if deleted:
        client.restore_experiment(there.experiment_id)
    _set_kind(client, there)
    return str(there.experiment_id), "restored" if deleted else ""


def begun_ms(client: MlflowClient, study: str) -> list[int]:
    """When the runs of studies of this name were opened in the tracker, deleted ones included."""
    there = client.get_experiment_by_name(study)
    if there is None:
        return []
    query = f"tags.`{names.ROLE}` = '{names.ROLE_STUDY}'"
    runs = client.search_runs([there.experiment_id], query, ViewType.ALL, max_results=100)
    return [run.info.start_time for run in runs if run.data.tags.get(names.STUDY) == study]


def _set_kind(client: MlflowClient, experiment: Experiment) -> None:
    """Let it open as model training, unless somebody has decided otherwise; a guess is none."""
    if experiment.tags.get(KIND, "") in UNDECIDED:
        with suppress(Exception):  # how a page opens is no reason not to record
            client.set_experiment_tag(experiment.experiment_id, KIND, FOR_TRAINING)


def _reach_database(uri: str) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": CONNECT_S})
    try:
        with engine.connect():
            pass
    finally:
        engine.dispose()


def database_store(client: MlflowClient) -> Any:
    """MLflow's own store where the tracker is a database, for what no client offers; else None."""
    store = client._tracking_client.store
    return store if hasattr(store, "engine") else None


def make_database(uri: str) -> None:
    """Where `uri` is a sqlite file that is not there yet: put a whole one there at once.

    MLflow builds its tables step by step. A process that opens the file meanwhile breaks it, and
    so does the end of the one that builds: nobody can open what is left.
    """
    path = sqlite_file(uri)
    if path is None or _is_there(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_there(path):
            return
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        MlflowClient(f"sqlite:///{fresh}").search_experiments(max_results=1)
        os.replace(fresh, path)


def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
