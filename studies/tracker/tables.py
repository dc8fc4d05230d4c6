"""Straight into the tables of an MLflow database in a sqlite file: a batch of runs at a time.

MLflow's client needs some ten transactions for a run, each of which waits for the disk, and thirty
times the work (benchmarks/delivery_speed.py). What is written here is what it would have written; a
test compares. MLflow stamps its databases with the revision of their tables: those of any other
revision than the ones known here are left to the client.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from studies.tracker.address import sqlite_file
from studies.tracker.names import RUN_NAME
from studies.tracker.writing import CONTEXT, Point

REVISIONS = frozenset({"dc11669786a5"})  # of MLflow 3.17
BUSY_S = 20.0  # how long to wait for others, as MLflow does
LARGEST = 1.7976931348623157e308  # stands for infinity, which no database takes


class DeletedError(LookupError):
    """A run or its experiment is not there any more."""


class Tables:
    """One experiment's part of a database."""

    def __init__(self, database: Path, experiment: str, artifact_location: str) -> None:
        self.database, self.experiment = database, int(experiment)
        self.artifact_location = artifact_location

    @classmethod
    def of(cls, uri: str, experiment: str, artifact_location: str) -> Tables | None:
        """None where this is no sqlite file, or one with tables that are not known here."""
        database = sqlite_file(uri)
        if database is None or "?" in uri or set("?#") & set(artifact_location):
            return None
        tables = cls(database, experiment, artifact_location)
        return tables if tables.revision() in REVISIONS else None

    def revision(self) -> str:
        """MLflow's stamp on the tables."""
        with closing(self._connected()) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return str(rows[0][0]) if len(rows) == 1 else ""

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All that is written within is there with its end, or nothing of it."""
        with closing(self._connected()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(connection, self.experiment, self.artifact_location)
            except BaseException:
                connection.rollback()
                raise
            connection.execute("COMMIT")

    def _connected(self) -> sqlite3.Connection:
        address = f"file:{quote(str(self.database))}?mode=rw"
        return sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)


class Transaction:
    """A `Writer`; see there."""

    def __init__(
        self, connection: sqlite3.Connection, experiment: int, artifact_location: str
    ) -> None:
        self.connection, self.experiment = connection, experiment
        self.artifact_location = artifact_location
        self._active: set[str] = set()
        self._data: dict[tuple[str, str], str] = {}
        stage = "SELECT lifecycle_stage FROM experiments WHERE experiment_id = ?"
        if connection.execute(stage, (experiment,)).fetchone() != ("active",):
            raise DeletedError(f"experiment {experiment} is deleted")

    def create(self, name: str, start: int | None, tags: Mapping[str, str]) -> tuple[str, str]:
        """See `Writer`."""
        run_id = uuid.uuid4().hex
        artifacts = f"{self.artifact_location.rstrip('/')}/{run_id}/artifacts"
        self.connection.execute(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, "
            "user_id, status, start_time, end_time, source_version, lifecycle_stage, "
            "artifact_uri, experiment_id, deleted_time) "
            "VALUES (?, ?, 'UNKNOWN', '', '', 'unknown', 'RUNNING', ?, NULL, '', 'active', ?, ?, "
            "NULL)",
            (run_id, name, start or _now_ms(), artifacts, self.experiment),
        )
        self._active.add(run_id)
        self._tag(run_id, {**tags, RUN_NAME: name})
        return run_id, artifacts

    def reopen(self, run_id: str) -> None:
        """See `Writer`."""
        self._check(run_id)
        self.connection.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", (run_id,))

    def log_data(self, run_id: str, data: Sequence[Mapping[str, Any]]) -> None:
        """See `Writer`."""
        self._check(run_id)
        for described in {(d["name"], d["digest"]): d for d in reversed(data)}.values():
            edge = ("DATASET", self._dataset(described), "RUN", run_id)
            input_id = uuid.uuid4().hex
            added = self.connection.execute(
                "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, "
                "destination_id) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (input_id, *edge),
            )
            if added.rowcount:
                self.connection.execute(
                    "INSERT INTO input_tags (input_uuid, name, value) VALUES (?, ?, ?)",
                    (input_id, CONTEXT, described["context"]),
                )

    def log(
        self,
        run_id: str,
        points: Sequence[Point],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """See `Writer`."""
        self._check(run_id)
        self.connection.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            [(key, value, run_id) for key, value in params.items()],
        )
        rows = [
            (point.name, *_stored(point.value), point.time, point.step, run_id) for point in points
        ]
        self.connection.executemany(
            "INSERT INTO metrics (key, value, is_nan, timestamp, step, run_uuid) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            rows,
        )
        newest: dict[str, tuple[Any, ...]] = {}
        for row in rows:
            if row[0] not in newest or _age(row) > _age(newest[row[0]]):
                newest[row[0]] = row
        self.connection.executemany(
            "INSERT INTO latest_metrics (key, value, is_nan, timestamp, step, run_uuid) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key, run_uuid) DO UPDATE SET "
            "value = excluded.value, is_nan = excluded.is_nan, timestamp = excluded.timestamp, "
            "step = excluded.step WHERE (excluded.step, excluded.timestamp, excluded.value) > "
            "(latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)",
            newest.values(),
        )
        self._tag(run_id, tags)

    def end(self, run_id: str, status: str, time: int | None) -> None:
        """See `Writer`."""
        self._check(run_id)
        self.connection.execute(
            "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?",
            (status, time or _now_ms(), run_id),
        )

    def _check(self, run_id: str) -> None:
        if run_id in self._active:
            return
        stage = "SELECT lifecycle_stage FROM runs WHERE run_uuid = ?"
        if self.connection.execute(stage, (run_id,)).fetchone() != ("active",):
            raise DeletedError(f"run {run_id} is deleted")
        self._active.add(run_id)

    def _tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        self.connection.executemany(
            "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?) "
            "ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value",
            [(key, value, run_id) for key, value in tags.items()],
        )
        if RUN_NAME in tags:
            self.connection.execute(
                "UPDATE runs SET name = ? WHERE run_uuid = ?", (tags[RUN_NAME], run_id)
            )

    def _dataset(self, described: Mapping[str, Any]) -> str:
        """The id of a data set, which an experiment has once."""
        key = (described["name"], described["digest"])
        if key not in self._data:
            where = "experiment_id = ? AND name = ? AND digest = ?"
            self.connection.execute(
                "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, "
                "dataset_source_type, dataset_source, dataset_schema, dataset_profile) "
                "VALUES (?, ?, ?, ?, 'local', ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    *(uuid.uuid4().hex, self.experiment, *key),
                    json.dumps({"uri": described["source"]}),
                    described.get("schema"),
                    json.dumps(described["profile"]),
                ),
            )
            row = self.connection.execute(
                f"SELECT dataset_uuid FROM datasets WHERE {where}", (self.experiment, *key)
            )
            self._data[key] = str(row.fetchone()[0])
        return self._data[key]


def _stored(value: float) -> tuple[float, bool]:
    """A value as MLflow keeps it, and whether it is none."""
    if math.isnan(value):
        return 0.0, True
    return max(-LARGEST, min(LARGEST, float(value))), False


def _age(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """By what MLflow orders the values of one metric: step, time, value."""
    return row[4], row[3], row[1]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
