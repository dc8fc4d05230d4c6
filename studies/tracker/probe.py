"""Whether a study may be recorded: what it will do, done once before it starts, and undone.

It is done by the process that will deliver, with the same client and the same environment:
nothing else sees what MLflow sees of passwords, tokens, certificates, drivers and rights.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from studies.tracker import names
from studies.tracker.address import sqlite_file
from studies.tracker.location import local_folder
from studies.tracker.store import Opening, connect, database_store, open_experiment

RUN_NAME = "vae-studies asks whether it may write"


@dataclass(frozen=True)
class Verdict:
    """What the driver is told. error: why nothing can be recorded, "" if all can be.

    holds_study: the tracker has runs of a study of this name, be they deleted.
    """

    error: str = ""
    holds_study: bool = False

    def line(self) -> bytes:
        """As it goes over the line to the driver."""
        return json.dumps(asdict(self)).encode() + b"\n"


class Probe:
    """One look at a tracker: `run` it, then keep what it opened, or `undo` that."""

    def __init__(self, uri: str, study: str, artifact_location: str | None) -> None:
        self.uri, self.study, self.artifact_location = uri, study, artifact_location
        file = sqlite_file(uri)
        self._new_file = file if file is not None and not file.exists() else None
        self._client: MlflowClient | None = None
        self._experiment, self._opening = "", ""

    def run(self) -> Verdict:
        """Create a run in the study's experiment, log, delete it; raises what MLflow raises."""
        client = self._client = connect(self.uri, self.study, self.artifact_location)
        opening: Opening
        self._experiment, opening = open_experiment(client, self.study, self.artifact_location)
        self._opening = opening
        query = f"tags.`{names.PROBE}` = 'true'"  # one that could not be deleted, and is enough
        left = client.search_runs([self._experiment], query, max_results=1)
        tags = {names.PROBE: "true"}
        run = left[0] if left else client.create_run(self._experiment, tags=tags, run_name=RUN_NAME)
        try:
            self._write(client, run.info.run_id)
        finally:
            self._remove(client, run.info.run_id, run.info.artifact_uri)
        return Verdict(holds_study=self._holds_study(client))

    def _write(self, client: MlflowClient, run_id: str) -> None:
        now = time.time_ns() // 1_000_000
        client.log_batch(run_id, [Metric("probe", 1.0, now, 1)], [Param("probe", "1")], [])
        with tempfile.TemporaryDirectory(prefix="vae-probe-") as folder:
            file = Path(folder) / "probe.txt"
            file.write_text("written to find out whether files can be stored here\n")
            client.log_artifact(run_id, str(file))
        client.set_terminated(run_id)

    def _remove(self, client: MlflowClient, run_id: str, artifact_uri: str) -> None:
        """Take the run away again: for good where that is possible.

        Who may not delete may still record: then a run of that name stays behind.
        """
        with suppress(Exception):
            get_artifact_repository(artifact_uri, client.tracking_uri).delete_artifacts()
            local = local_folder(artifact_uri)
            if local is not None:
                local.parent.rmdir()
        with suppress(Exception):
            client.delete_run(run_id)
            if (store := database_store(client)) is not None:
                store._hard_delete_run(run_id)

    def _holds_study(self, client: MlflowClient) -> bool:
        query = f"tags.`{names.STUDY}` LIKE '%'"
        runs = client.search_runs([self._experiment], query, ViewType.ALL, max_results=1)
        return bool(runs)

    def undo(self) -> None:
        """Nothing will be recorded: leave the tracker as it was, as far as it lets us."""
        client = self._client
        with suppress(Exception):
            if client is not None and self._opening:
                client.delete_experiment(self._experiment)
                if self._opening == "created" and (store := database_store(client)) is not None:
                    store._hard_delete_experiment(self._experiment)
        if self._new_file is not None:
            _remove_empty(self._new_file, client)
        with suppress(OSError):
            folder = local_folder(self.artifact_location)
            if folder is not None and self._opening == "created":
                folder.rmdir()
                folder.parent.rmdir()  # the storage's, if this was its first study


def _remove_empty(database: Path, client: MlflowClient | None) -> None:
    """A file that the probe made goes again, unless somebody has begun to use it meanwhile."""
    with suppress(Exception):
        if client is None or any(e.name != "Default" for e in _experiments(client)):
            return
        for path in (database, database.with_name(f"{database.name}.lock")):
            path.unlink(missing_ok=True)


def _experiments(client: MlflowClient) -> list[Any]:
    return list(client.search_experiments(view_type=ViewType.ALL, max_results=10))
