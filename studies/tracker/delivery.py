"""Delivers events to MLflow so that delivering one twice changes nothing.

Runs are found again by their tags, never by memory alone; metrics carry the timestamp of the event,
so MLflow stores a repeated point once. No other module writes to MLflow during a study.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from mlflow.entities import Run, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from studies.tracker import names, pages
from studies.tracker.address import is_http
from studies.tracker.store import connect, open_experiment
from studies.tracker.tables import Tables
from studies.tracker.writing import ByClient, Point, Writer

TEXT_LIMIT = 5000  # of a tag or parameter value
LANES = 4  # runs that a server is told of at a time; it has so many workers by default
_ENDING = (names.STATUS, names.REASON)


@dataclass
class _Known:
    """What MLflow holds of a run, as far as we know."""

    run_id: str
    artifact_uri: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    status: str = "RUNNING"
    end_time: int | None = None
    has_data: bool = False  # its data sets are logged


class _End(NamedTuple):
    """How MLflow shows an ended run, and when it ended, in ms."""

    status: str
    time: int


@dataclass
class _News:
    """What a batch of events says of one run, to be sent in as few calls as it fits in."""

    name: str = ""
    start_time: int | None = None
    opening: dict[str, str] = field(default_factory=dict)  # how the run stood when it was opened
    points: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, str | None]] = field(default_factory=list)  # path, folder
    opened: bool = False
    end: _End | None = None
    points_at_end: int = 0  # how many of them came before `end`
    again: bool = False  # MLflow knows of `end` already, and so of all that came before it

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> _News:
        """All that the events of one run say, the last word counting."""
        news = cls()
        for event in events:
            values = {name: value for name, value in event.items() if name != "event"}
            getattr(news, f"_{event['event']}")(**values)
        return news

    def _run(
        self, key: str, name: str, tags: dict[str, Any], params: dict[str, Any], time: int
    ) -> None:
        texts = _texts(tags)
        if not self.opened:
            self.opened, self.start_time = True, time
            self.opening = {name: texts[name] for name in _ENDING if name in texts}
        self.name = name
        self.tags |= texts | {names.RUN_NAME: name}
        self.params |= _texts(params)
        self.end = None

    def _metrics(self, key: str, epoch: int, values: dict[str, float], time: int) -> None:
        self.points += [Point(name, value, time, epoch) for name, value in values.items()]

    _result = _metrics

    def _tags(self, key: str, tags: dict[str, Any]) -> None:
        self.tags |= _texts(tags)

    def _artifact(self, key: str, path: str, folder: str | None) -> None:
        self.files.append((path, folder))

    def _status(self, key: str, status: str, reason: str, time: int) -> None:
        self.tags |= _texts({names.STATUS: status, names.REASON: reason})
        if key:
            self.tags[names.RUN_NAME] = pages.run_name(key, status)
        self.end = _End(names.MLFLOW_STATUS[status], time)
        self.points_at_end = len(self.points)


class Delivery:
    """A study's runs in one MLflow tracker.

    Key "" is the parent run, any other key the trial's child run. Raises what MLflow raises; the
    caller retries the same events later. An artifact that fails is handed to `refused` instead:
    a broken artifact store must not hold up the metrics. What somebody deleted in MLflow is
    restored; `notes` says so.
    """

    def __init__(
        self,
        uri: str,
        study: str,
        artifact_location: str | None,
        refused: Callable[[dict[str, Any], Exception], None] | None = None,
        data: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """data: the study's data sets, each with `context`, `name`, `digest`, `profile`…"""
        self.uri, self.study, self.refused, self.data = uri, study, refused, data
        self.client = connect(uri, study, artifact_location)
        self.experiment, opening = open_experiment(self.client, study, artifact_location)
        self.notes = ["its experiment was deleted: restored"] if opening == "restored" else []
        self.runs: dict[str, _Known] = {}
        self._refusing = Lock()
        self.client_writer = ByClient(self.client, self.experiment)
        place = self.client.get_experiment(self.experiment).artifact_location
        self.tables = Tables.of(uri, self.experiment, place)
        self._learn(after_restoring=opening == "restored")

    def deliver(self, events: Iterable[dict[str, Any]]) -> None:
        """Deliver events: each run's in order and in few calls, the parent's first.

        A server is told of several runs at a time: it takes longer to answer than to be asked.
        """
        sorted_events = sorted(events, key=_key)
        news = {key: _News.of(group) for key, group in groupby(sorted_events, key=_key)}
        if "" in news:
            self._describe(news[""])
        if self.tables is not None:
            self._tell_at_once(self.tables, news)
            return
        if "" in news:
            self._tell("", news.pop(""))
        with ThreadPoolExecutor(LANES if is_http(self.uri) else 1) as lanes:
            list(lanes.map(self._tell, news.keys(), news.values()))  # after a failure no other

    def _tell(self, key: str, news: _News) -> None:
        """Bring MLflow's run of `key` to where the news leave it: its end after all else."""
        self._begin(self.client_writer, key, news)
        self._upload(key, news)
        self._finish(self.client_writer, key, news)

    def _tell_at_once(self, tables: Tables, news: Mapping[str, _News]) -> None:
        """The same of many runs in two transactions, the files between them."""
        with tables.transaction() as writer:
            for key, of_run in news.items():
                self._begin(writer, key, of_run)
        for key, of_run in news.items():
            self._upload(key, of_run)
        with tables.transaction() as writer:
            for key, of_run in news.items():
                self._finish(writer, key, of_run)

    def _begin(self, writer: Writer, key: str, news: _News) -> None:
        """The run is there, is open if it goes on, and has its data sets."""
        if key not in self.runs:
            self._create(writer, key, news)
        run = self.runs[key]
        if key and news.opened:
            news.tags |= self._parent()  # also one made anew
        news.again = news.end is not None and (run.status, run.end_time) == news.end
        if news.opened and not news.again and run.status != "RUNNING":
            writer.reopen(run.run_id)
            run.status, run.end_time = "RUNNING", None
        if news.opened:
            self._log_data(writer, run, news.tags.get(names.PHASE) == "search")

    def _finish(self, writer: Writer, key: str, news: _News) -> None:
        """All else that is new of the run, and then its end."""
        run = self.runs[key]
        if news.again:
            del news.points[: news.points_at_end]
        self._send(writer, run, news)
        if news.end is not None and not news.again:
            self._terminate(writer, run, *news.end)

    def abandon(self, last: Mapping[str, int]) -> None:
        """The driver is gone: no run may stay RUNNING. A resumed study opens them again.

        last: when each was last heard of, in ms: then it ended.
        """
        reason = {names.STATUS: "interrupted", names.REASON: "the driver was killed"}
        with self._writing() as writer:
            for key, run in self.runs.items():
                if run.status == "RUNNING":
                    self._send(writer, run, _News(tags=dict(reason)))
                    self._terminate(writer, run, "KILLED", last.get(key))

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        if self.tables is None:
            yield self.client_writer
            return
        with self.tables.transaction() as writer:
            yield writer

    def _learn(self, *, after_restoring: bool) -> None:
        """Read what MLflow holds of this study; restore what was deleted of it.

        With an experiment everything in its trash comes back, the runs of probes too.
        """
        there = list(self._all_runs())
        for run in there if after_restoring else ():
            if names.PROBE in run.data.tags and not _is_deleted(run):
                self.client.delete_run(run.info.run_id)
        ours = [run for run in there if run.data.tags.get(names.STUDY) == self.study]
        restored = []
        for run in sorted(ours, key=_is_deleted):  # in each half, by start
            key = run.data.tags.get(names.TRIAL, "")
            if _is_deleted(run) and key not in self.runs:
                self.client.restore_run(run.info.run_id)
                restored.append(f"trial {key}" if key else "the study")
            self._remember(key, run)
        if restored:
            self.notes.append(f"deleted runs were restored: {', '.join(restored)}")

    def _all_runs(self) -> Iterator[Run]:
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self.experiment],
                run_view_type=ViewType.ALL,
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _remember(self, key: str, run: Run) -> None:
        """Of two runs with one key, which only a torn creation leaves, the first one counts."""
        if key not in self.runs:
            self.runs[key] = _Known(
                run.info.run_id,
                run.info.artifact_uri,
                dict(run.data.tags),
                dict(run.data.params),
                run.info.status,
                run.info.end_time,
                bool(run.inputs and run.inputs.dataset_inputs),
            )
        elif not _is_deleted(run):
            self.client.delete_run(run.info.run_id)

    def _create(self, writer: Writer, key: str, news: _News) -> None:
        """A run of its own for `key`, below the study's; how it ended is told after the rest."""
        told = {name: value for name, value in news.tags.items() if name not in _ENDING}
        tags = {names.STUDY: self.study, **told, **news.opening}
        if key:
            tags = {names.ROLE: names.ROLE_TRIAL, **tags, names.TRIAL: key, **self._parent()}
        name = news.tags.get(names.RUN_NAME) or (pages.run_name(key) if key else self.study)
        tags[names.RUN_NAME] = name
        run_id, artifact_uri = writer.create(name, news.start_time, tags)
        self.runs[key] = _Known(run_id, artifact_uri, tags)

    def _parent(self) -> dict[str, str]:
        return {names.PARENT: self.runs[""].run_id} if "" in self.runs else {}

    def _log_data(self, writer: Writer, run: _Known, without_test: bool) -> None:
        """The data sets that a run sees; a search is not given the test images."""
        if run.has_data or not self.data:
            return
        seen = [d for d in self.data if not (without_test and d["context"] == "test")]
        writer.log_data(run.run_id, seen)
        run.has_data = True

    def _upload(self, key: str, news: _News) -> None:
        """Upload files; one that is gone was uploaded before or has nothing to offer."""
        for path, folder in news.files:
            if not Path(path).exists():
                continue
            try:
                place = get_artifact_repository(
                    self.runs[key].artifact_uri, tracking_uri=self.client.tracking_uri
                )
                place.log_artifact(path, folder)
            except Exception as error:  # whatever the artifact store raises
                if self.refused is None:
                    raise
                event = {"event": "artifact", "key": key, "path": path, "folder": folder}
                with self._refusing:
                    self.refused(event, error)

    def _send(self, writer: Writer, run: _Known, news: _News) -> None:
        """Send what MLflow does not hold yet."""
        whole = news.tags | _changed(run, news.params)
        tags = {k: v for k, v in whole.items() if run.tags.get(k) != v}
        params = {k: v for k, v in news.params.items() if k not in run.params}
        if news.points or params or tags:
            writer.log(run.run_id, news.points, params, tags)
        run.tags |= tags
        run.params |= params

    def _describe(self, news: _News) -> None:
        """The study's note describes its experiment too, unless somebody has written another."""
        if names.NOTE not in news.tags:
            return
        note = news.tags[names.NOTE].replace(pages.EXPERIMENT, self.experiment)
        news.tags[names.NOTE] = note
        before = self.runs[""].tags.get(names.NOTE) if "" in self.runs else ""
        with suppress(Exception):  # how a page looks is no reason not to record
            there = self.client.get_experiment(self.experiment).tags.get(names.NOTE, "")
            if there in ("", before) and there != note:
                self.client.set_experiment_tag(self.experiment, names.NOTE, note)

    def _terminate(self, writer: Writer, run: _Known, status: str, time: int | None) -> None:
        writer.end(run.run_id, status, time)
        run.status, run.end_time = status, time


def _changed(run: _Known, params: Mapping[str, str]) -> dict[str, str]:
    """What is not any more as MLflow holds it, as tags: a parameter can be logged only once."""
    return {
        names.NOW + name: value
        for name, value in params.items()
        if run.params.get(name, value) != value or names.NOW + name in run.tags
    }


def _is_deleted(run: Run) -> bool:
    return str(run.info.lifecycle_stage) == "deleted"


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """Values as MLflow stores them: text, cut at its limit."""
    return {
        k: (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))[:TEXT_LIMIT]
        for k, v in values.items()
    }


def _key(event: dict[str, Any]) -> str:
    """Of the run that an event is about; the parent's sorts first."""
    return str(event["key"])
