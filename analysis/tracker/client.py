"""The way into MLflow: connecting, reading runs in bulk, artifacts, and hiding secrets.

The only module of this package that talks to MLflow; everything else sees `Record`s and files.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from studies.tracker import address, location, names
from studies.tracker.address import redact as redact  # said here too: what is read may hold one

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Table

log = logging.getLogger(__name__)

DEFAULT_URI = "sqlite:///runs/mlflow.db"
PAGE = 1_000  # runs per request of MLflow's search
CHUNK = 500  # run ids per SQL statement; sqlite allows 32,766 variables

T = TypeVar("T")


class TrackerError(Exception):
    """The tracker cannot be used, or does not hold what was asked for."""


@dataclass(frozen=True)
class Record:
    """One run as MLflow holds it; `metrics` are the latest values, `steps` where they stand."""

    run_id: str
    status: str
    start_ms: int | None
    end_ms: int | None
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """One value of a metric's history."""

    run_id: str
    metric: str
    step: int
    value: float


def default_uri() -> str:
    """MLFLOW_TRACKING_URI, or the database that a study writes by default."""
    return os.environ.get(address.VARIABLE) or DEFAULT_URI


class Tracker:
    """One MLflow tracking server or database; reading it changes nothing there."""

    def __init__(self, uri: str | None = None) -> None:
        """Raises TrackerError if there is no such tracker; an absent sqlite file is not created."""
        self._given = uri or default_uri()
        self._moves: dict[str, tuple[Path | None, Path | None]] = {}
        self.uri = redact(self._given)
        try:
            address.check(self._given)
            self._uri = address.with_driver(self._given)
        except address.AddressError as error:
            raise TrackerError(str(error)) from error
        _check_sqlite_exists(self._given)
        with self._speaking():
            self._client.search_experiments(max_results=1)

    @cached_property
    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        # MLflow's own default is 7 retries with growing pauses: minutes without a word.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        return MlflowClient(tracking_uri=self._uri)

    @cached_property
    def _sql_store(self) -> SqlAlchemyStore | None:
        """The store itself where the tracker is a database, for reading in bulk."""
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = self._client._tracking_client.store
        return store if isinstance(store, SqlAlchemyStore) else None

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn whatever MLflow, its database or the network raise into one clean line."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
            raise TrackerError(
                f"the tracker {self.uri} cannot be read: {redact(one_line(error), self._given)}"
            ) from error

    def studies(self) -> list[str]:
        """Names of the experiments that hold at least one study, sorted."""
        with self._speaking():
            experiments = self._all(self._client.search_experiments)
            query = f"tags.`{names.ROLE}` LIKE '%'"
            return sorted(
                experiment.name
                for experiment in experiments
                if self._client.search_runs([experiment.experiment_id], query, max_results=1)
            )

    def experiment_id(self, study: str) -> str:
        """The experiment of that name; TrackerError lists the studies there are."""
        with self._speaking():
            experiment = self._client.get_experiment_by_name(study)
        if experiment is not None and experiment.lifecycle_stage == "active":
            experiment_id: str = experiment.experiment_id
            return experiment_id
        state = "was deleted from" if experiment is not None else "is not in"
        raise TrackerError(f"study {study!r} {state} {self.uri}; {self._known_studies()}")

    def _known_studies(self) -> str:
        listing = ", ".join(repr(name) for name in self.studies())
        return f"there are: {listing}" if listing else "it holds no study at all"

    def records(self, study: str) -> list[Record]:
        """Every run of the study's experiment that is not deleted, ours or not, oldest first."""
        experiment_id = self.experiment_id(study)
        with self._speaking():
            if self._sql_store is not None:
                stored = _records_by_sql(self._sql_store, experiment_id)
            else:
                stored = self._records_by_client(experiment_id)
        ours = (record for record in stored if names.PROBE not in record.tags)
        return sorted(ours, key=lambda record: (record.start_ms or 0, record.run_id))

    def _records_by_client(self, experiment_id: str) -> list[Record]:
        def search(page_token: str | None) -> Any:
            return self._client.search_runs(
                [experiment_id], max_results=PAGE, page_token=page_token
            )

        return [_record(run) for run in self._all(search)]

    @staticmethod
    def _all(search: Any) -> list[Any]:
        items: list[Any] = []
        token = None
        while True:
            page = search(page_token=token)
            items += page
            token = page.token
            if not token:
                return items

    def histories(self, run_ids: Iterable[str], metrics: Iterable[str]) -> list[Point]:
        """Every value of `metrics` in those runs; of a step logged twice the later value."""
        ids, keys = list(run_ids), list(metrics)
        with self._speaking():
            if self._sql_store is not None:
                return _histories_by_sql(self._sql_store, ids, keys)
            return [
                Point(run_id, key, point.step, point.value)
                for run_id in ids
                for key in keys
                for point in _last_of_each_step(self._client.get_metric_history(run_id, key))
            ]

    def artifact(self, run_id: str, path: str) -> Path | None:
        """An artifact as a local file, or None where the run has none of that name."""
        folder, _, _ = path.rpartition("/")
        with self._speaking():
            if (home := self._folder_beside(run_id)) is not None:
                return home / path if (home / path).is_file() else None
            there = self._client.list_artifacts(run_id, folder or None)
            if path not in {file.path for file in there}:
                return None
            return Path(self._client.download_artifacts(run_id, path, self._downloads(run_id)))

    def parent(self, run_id: str) -> str | None:
        """The run of the study that a trial's run belongs to."""
        with self._speaking():
            parent: str | None = self._client.get_run(run_id).data.tags.get(names.PARENT)
        return parent

    def attach(self, run_id: str, path: Path, folder: str) -> None:
        """Store a file with a run: the one thing that this package ever writes to a tracker."""
        with self._speaking():
            location.settle(self._uri)
            self._client.log_artifact(run_id, str(path), folder)

    def lost_folder(self, run_id: str) -> Path | None:
        """Where this machine should have the run's artifacts and has nothing; None if all is well.

        A run that has no artifact yet has no folder either.
        """
        with self._speaking():
            home = self._folder_beside(run_id)
            home = home or location.local_folder(self._client.get_run(run_id).info.artifact_uri)
        return home if home is not None and not home.exists() else None

    def _folder_beside(self, run_id: str) -> Path | None:
        """Where a run's artifacts are, if database and artifacts were moved together."""
        database = address.sqlite_file(self._uri)
        if database is None:
            return None
        info = self._client.get_run(run_id).info
        before, now = self._places(database, info.experiment_id)
        folder = location.local_folder(info.artifact_uri)
        if now is None or before is None or folder is None or not folder.is_relative_to(before):
            return None
        return now / folder.relative_to(before)

    def _places(self, database: Path, experiment_id: str) -> tuple[Path | None, Path | None]:
        """An experiment's folder as MLflow knows it, and where it is if it was moved."""
        if experiment_id not in self._moves:
            uri = self._client.get_experiment(experiment_id).artifact_location
            places = (location.local_folder(uri), location.here(database, uri))
            self._moves[experiment_id] = places
        return self._moves[experiment_id]

    def _downloads(self, run_id: str) -> str:
        folder = Path(self._temporary.name) / run_id
        folder.mkdir(exist_ok=True)
        return str(folder)

    @cached_property
    def _temporary(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="vae-report-")


def one_line(error: BaseException) -> str:
    """The first line of an error's message, without secrets."""
    text = str(error).strip() or type(error).__name__
    return redact(text.splitlines()[0])


def _check_sqlite_exists(uri: str) -> None:
    """MLflow would create an empty database under a mistyped name."""
    path = address.sqlite_file(uri)
    if path is not None and not path.is_file():
        name, way_out = address.source(uri)
        raise TrackerError(f"there is no MLflow database {path} ({name}); {way_out}")


def _record(run: Any) -> Record:
    """From MLflow's entity; it keeps the steps of the latest metrics in a private list only."""
    metrics = run.data._metric_objs
    return Record(
        run.info.run_id,
        run.info.status,
        run.info.start_time,
        run.info.end_time or None,
        dict(run.data.params),
        {metric.key: metric.value for metric in metrics},
        {metric.key: metric.step for metric in metrics},
        dict(run.data.tags),
    )


def _records_by_sql(store: SqlAlchemyStore, experiment_id: str) -> list[Record]:
    """Four SELECTs: 3 s for 10,000 runs, where MLflow's search takes 24 s to build its objects."""
    from mlflow.store.tracking.dbmodels import models
    from sqlalchemy import select

    runs = models.SqlRun.__table__
    ours = (runs.c.experiment_id == int(experiment_id)) & (runs.c.lifecycle_stage == "active")
    with store.engine.connect() as connection:
        fields = (runs.c.run_uuid, runs.c.status, runs.c.start_time, runs.c.end_time)
        records = {row[0]: Record(*row) for row in connection.execute(select(*fields).where(ours))}

        def rows(table: Table, *columns: str) -> Iterator[Any]:
            selected = (table.c.run_uuid, *(table.c[name] for name in columns))
            joined = select(*selected).join(runs, table.c.run_uuid == runs.c.run_uuid).where(ours)
            # A run may have begun since the first SELECT: it waits for the next reading.
            return (row for row in connection.execute(joined) if row[0] in records)

        for run_id, key, value in rows(models.SqlParam.__table__, "key", "value"):
            records[run_id].params[key] = value
        for run_id, key, value in rows(models.SqlTag.__table__, "key", "value"):
            records[run_id].tags[key] = value
        latest = models.SqlLatestMetric.__table__
        for run_id, key, value, nan, step in rows(latest, "key", "value", "is_nan", "step"):
            records[run_id].metrics[key] = float("nan") if nan else value
            records[run_id].steps[key] = step
    return list(records.values())


def _histories_by_sql(store: SqlAlchemyStore, run_ids: list[str], keys: list[str]) -> list[Point]:
    from mlflow.store.tracking.dbmodels.models import SqlMetric
    from sqlalchemy import select

    table = SqlMetric.__table__
    values: dict[tuple[str, str, int], float] = {}
    columns = (table.c.run_uuid, table.c.key, table.c.step, table.c.value, table.c.is_nan)
    with store.engine.connect() as connection:
        for start in range(0, len(run_ids), CHUNK):
            chunk = run_ids[start : start + CHUNK]
            query = (
                select(*columns)
                .where(table.c.run_uuid.in_(chunk), table.c.key.in_(keys))
                .order_by(table.c.run_uuid, table.c.key, table.c.step, table.c.timestamp)
            )
            for run_id, key, step, value, nan in connection.execute(query):
                values[run_id, key, step] = float("nan") if nan else value
    return [Point(run_id, key, step, value) for (run_id, key, step), value in values.items()]


def _last_of_each_step(history: Iterable[Any]) -> list[Any]:
    latest = {point.step: point for point in sorted(history, key=lambda point: point.timestamp)}
    return [latest[step] for step in sorted(latest)]
