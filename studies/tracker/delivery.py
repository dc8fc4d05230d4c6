"""Delivers events to MLflow so that delivering one twice changes nothing.

Runs are found again by their tags, never by memory alone; metrics carry the timestamp of the event,
so MLflow stores a repeated point once. No other module writes to MLflow during a study.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType

from studies.tracker import names

METRICS_PER_CALL = 800  # MLflow takes 1000 items in one batch,
ITEMS_PER_CALL = 100  # at most so many of them parameters, and so many tags
FOR_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # what the UI opens with
TEXT_LIMIT = 5000  # of a tag or parameter value


@dataclass
class _Known:
    """What MLflow holds of a run, as far as we know."""

    run_id: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    status: str = "RUNNING"


@dataclass
class _News:
    """What is to be sent of one run, in one call where it fits."""

    metrics: list[Metric] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def clear(self) -> None:
        """Begin anew."""
        self.metrics, self.params, self.tags = [], {}, {}


class Delivery:
    """A study's runs in one MLflow tracker.

    Key "" is the parent run, any other key the trial's child run. Raises what MLflow raises; the
    caller retries the same events later. An artifact that fails is handed to `refused` instead:
    a broken artifact store must not hold up the metrics. Events of a run that somebody deleted
    in MLflow are left out.
    """

    def __init__(
        self,
        uri: str,
        study: str,
        artifact_location: str | None,
        refused: Callable[[dict[str, Any], Exception], None] | None = None,
    ) -> None:
        self.study, self.refused = study, refused
        make_database(uri)
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment = self._experiment(artifact_location)
        self.runs: dict[str, _Known] = {}
        self._learn()

    def deliver(self, events: Iterable[dict[str, Any]]) -> None:
        """Deliver events: each run's in order and in few calls, the parent's first."""
        for key, group in groupby(sorted(events, key=_key), key=_key):
            news = _News()
            for event in group:
                if event["event"] == "run" or key in self.runs:
                    fields = {name: value for name, value in event.items() if name != "event"}
                    getattr(self, f"_{event['event']}")(news, **fields)
            if key in self.runs:
                self._send(key, news)

    def abandon(self) -> None:
        """The driver is gone: no run may stay RUNNING. A resumed study opens them again."""
        for key, known in self.runs.items():
            if known.status == "RUNNING":
                reason = {names.STATUS: "interrupted", names.REASON: "the driver was killed"}
                self._send(key, _News(tags=reason))
                self._terminate(known, "KILLED", None)

    def _experiment(self, artifact_location: str | None) -> str:
        found = self.client.get_experiment_by_name(self.study)
        if found is None:
            made = self.client.create_experiment(
                self.study, artifact_location=artifact_location, tags=FOR_TRAINING
            )
            return str(made)
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _learn(self) -> None:
        """Read what MLflow already holds of this study."""
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self.experiment],
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                if run.data.tags.get(names.STUDY) == self.study:
                    self._remember(run)
            token = page.token
            if not token:
                return

    def _remember(self, run: Run) -> None:
        """Of two runs with one key, which only a torn creation leaves, the first one counts."""
        key = run.data.tags.get(names.TRIAL, "")
        if key in self.runs:
            self.client.delete_run(run.info.run_id)
            return
        self.runs[key] = _Known(
            run.info.run_id, dict(run.data.tags), dict(run.data.params), run.info.status
        )

    def _run(
        self,
        news: _News,
        key: str,
        name: str,
        tags: dict[str, Any],
        params: dict[str, Any],
        time: int,
    ) -> None:
        """Create the run of `key`, or open it again."""
        if key not in self.runs:
            whole = {names.STUDY: self.study, **_texts(tags)}
            if key:
                whole[names.TRIAL] = key
            if key and "" in self.runs:
                whole[names.PARENT] = self.runs[""].run_id
            run = self.client.create_run(
                self.experiment, start_time=time, tags=whole, run_name=name
            )
            self.runs[key] = _Known(run.info.run_id, whole)
        known = self.runs[key]
        if known.status != "RUNNING":
            self.client.update_run(known.run_id, status="RUNNING")
            known.status = "RUNNING"
        news.tags |= _texts(tags)
        news.params |= _texts(params)

    def _metrics(
        self, news: _News, key: str, epoch: int, values: dict[str, float], time: int
    ) -> None:
        news.metrics += [Metric(name, value, time, epoch) for name, value in values.items()]

    def _tags(self, news: _News, key: str, tags: dict[str, Any]) -> None:
        news.tags |= _texts(tags)

    def _status(self, news: _News, key: str, status: str, reason: str, time: int) -> None:
        """End a run, after all that is known of it has been sent."""
        news.tags |= _texts({names.STATUS: status, names.REASON: reason})
        self._send(key, news)
        known = self.runs[key]
        if known.status != names.MLFLOW_STATUS[status]:
            self._terminate(known, names.MLFLOW_STATUS[status], time)

    def _artifact(self, news: _News, key: str, path: str, folder: str | None) -> None:
        """Upload a file; one that is gone was uploaded before or has nothing to offer."""
        if not Path(path).exists():
            return
        try:
            self.client.log_artifact(self.runs[key].run_id, path, folder)
        except Exception as error:  # whatever the artifact store raises
            if self.refused is None:
                raise
            event = {"event": "artifact", "key": key, "path": path, "folder": folder}
            self.refused(event, error)

    def _send(self, key: str, news: _News) -> None:
        """Send what MLflow does not hold yet, and forget it."""
        known = self.runs[key]
        tags = {k: v for k, v in news.tags.items() if known.tags.get(k) != v}
        params = {k: v for k, v in news.params.items() if known.params.get(k) != v}
        parts = zip_longest(
            _parts(news.metrics, METRICS_PER_CALL),
            _parts([Param(k, v) for k, v in params.items()], ITEMS_PER_CALL),
            _parts([RunTag(k, v) for k, v in tags.items()], ITEMS_PER_CALL),
            fillvalue=(),
        )
        for metrics, some_params, some_tags in parts:
            self.client.log_batch(known.run_id, metrics, some_params, some_tags)
        known.tags |= tags
        known.params |= params
        news.clear()

    def _terminate(self, known: _Known, status: str, time: int | None) -> None:
        self.client.set_terminated(known.run_id, status=status, end_time=time)
        known.status = status


def make_database(uri: str) -> None:
    """Where `uri` is a sqlite file that is not there yet: put a whole one there at once.

    MLflow builds its tables step by step. A process that opens the file meanwhile breaks it, and
    so does the end of the one that builds: nobody can open what is left.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or (path.exists() and path.stat().st_size):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_size:
            return
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        MlflowClient(f"sqlite:///{fresh}").search_experiments(max_results=1)
        os.replace(fresh, path)


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """Values as MLflow stores them: text, cut at its limit."""
    return {
        k: (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))[:TEXT_LIMIT]
        for k, v in values.items()
    }


def _key(event: dict[str, Any]) -> str:
    """Of the run that an event is about; the parent's sorts first."""
    return str(event["key"])


def _parts(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))
