"""Delivers events to MLflow so that delivering one twice changes nothing.

Runs are found again by their tags, never by memory alone; metrics carry the timestamp of the event,
so MLflow stores a repeated point once. No other module writes to MLflow during a study.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)

from studies.tracker import names, pages
from studies.tracker.store import connect, open_experiment

METRICS_PER_CALL = 800  # MLflow takes 1000 items in one batch,
ITEMS_PER_CALL = 100  # at most so many of them parameters, and so many tags
TEXT_LIMIT = 5000  # of a tag or parameter value


@dataclass
class _Known:
    """What MLflow holds of a run, as far as we know."""

    run_id: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    status: str = "RUNNING"
    has_data: bool = False  # its data sets are logged


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
        self.study, self.refused, self.data = study, refused, data
        self.client = connect(uri, study, artifact_location)
        self.experiment, opening = open_experiment(self.client, study, artifact_location)
        self.notes = ["its experiment was deleted: restored"] if opening == "restored" else []
        self.runs: dict[str, _Known] = {}
        self._learn(after_restoring=opening == "restored")

    def deliver(self, events: Iterable[dict[str, Any]]) -> None:
        """Deliver events: each run's in order and in few calls, the parent's first."""
        for key, group in groupby(sorted(events, key=_key), key=_key):
            news = _News()
            for event in group:
                if event["event"] != "run" and key not in self.runs:
                    self._create(key, {}, None)  # the line that opened it was damaged
                fields = {name: value for name, value in event.items() if name != "event"}
                getattr(self, f"_{event['event']}")(news, **fields)
            self._send(key, news)

    def abandon(self) -> None:
        """The driver is gone: no run may stay RUNNING. A resumed study opens them again."""
        for key, run in self.runs.items():
            if run.status == "RUNNING":
                reason = {names.STATUS: "interrupted", names.REASON: "the driver was killed"}
                self._send(key, _News(tags=reason))
                self._terminate(run, "KILLED", None)

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
                dict(run.data.tags),
                dict(run.data.params),
                run.info.status,
                bool(run.inputs and run.inputs.dataset_inputs),
            )
        elif not _is_deleted(run):
            self.client.delete_run(run.info.run_id)

    def _create(self, key: str, tags: Mapping[str, str], time: int | None, name: str = "") -> None:
        """A run of its own for `key`, below the study's."""
        whole = {names.STUDY: self.study, **tags}
        if key:
            whole |= {names.TRIAL: key}
            whole = {names.ROLE: names.ROLE_TRIAL, **whole, **self._parent()}
        name = name or (pages.run_name(key) if key else self.study)
        run = self.client.create_run(self.experiment, start_time=time, tags=whole, run_name=name)
        self.runs[key] = _Known(run.info.run_id, whole | {names.RUN_NAME: name})

    def _parent(self) -> dict[str, str]:
        return {names.PARENT: self.runs[""].run_id} if "" in self.runs else {}

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
            self._create(key, _texts(tags), time, name)
        run = self.runs[key]
        if run.status != "RUNNING":
            self.client.update_run(run.run_id, status="RUNNING")
            run.status = "RUNNING"
        news.tags |= _texts(tags) | {names.RUN_NAME: name}
        news.tags |= self._parent() if key else {}  # also one made anew
        news.params |= _texts(params)
        self._log_data(run, str(tags.get(names.PHASE, "")) == "search")

    def _log_data(self, run: _Known, without_test: bool) -> None:
        """The data sets that a run sees; a search is not given the test images."""
        if run.has_data or not self.data:
            return
        seen = [d for d in self.data if not (without_test and d["context"] == "test")]
        self.client.log_inputs(run.run_id, [_dataset(**described) for described in seen])
        run.has_data = True

    def _metrics(
        self, news: _News, key: str, epoch: int, values: dict[str, float], time: int
    ) -> None:
        news.metrics += [Metric(name, value, time, epoch) for name, value in values.items()]

    _result = _metrics

    def _tags(self, news: _News, key: str, tags: dict[str, Any]) -> None:
        news.tags |= _texts(tags)

    def _status(self, news: _News, key: str, status: str, reason: str, time: int) -> None:
        """End a run, after all that is known of it has been sent."""
        news.tags |= _texts({names.STATUS: status, names.REASON: reason})
        if key:
            news.tags[names.RUN_NAME] = pages.run_name(key, status)
        self._send(key, news)
        run = self.runs[key]
        if run.status != names.MLFLOW_STATUS[status]:
            self._terminate(run, names.MLFLOW_STATUS[status], time)

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
        run = self.runs[key]
        if names.NOTE in news.tags:
            note = news.tags[names.NOTE].replace(pages.EXPERIMENT, self.experiment)
            self._describe(run, note)
            news.tags[names.NOTE] = note
        whole = news.tags | _changed(run, news.params)
        tags = {k: v for k, v in whole.items() if run.tags.get(k) != v}
        params = {k: v for k, v in news.params.items() if k not in run.params}
        parts = zip_longest(
            _parts(news.metrics, METRICS_PER_CALL),
            _parts([Param(k, v) for k, v in params.items()], ITEMS_PER_CALL),
            _parts([RunTag(k, v) for k, v in tags.items()], ITEMS_PER_CALL),
            fillvalue=(),
        )
        for metrics, some_params, some_tags in parts:
            self.client.log_batch(run.run_id, metrics, some_params, some_tags)
        run.tags |= tags
        run.params |= params
        news.clear()

    def _describe(self, study: _Known, note: str) -> None:
        """The study's note describes its experiment too, unless somebody has written another."""
        with suppress(Exception):  # how a page looks is no reason not to record
            there = self.client.get_experiment(self.experiment).tags.get(names.NOTE, "")
            if there in ("", study.tags.get(names.NOTE)) and there != note:
                self.client.set_experiment_tag(self.experiment, names.NOTE, note)

    def _terminate(self, run: _Known, status: str, time: int | None) -> None:
        self.client.set_terminated(run.run_id, status=status, end_time=time)
        run.status = status


def _changed(run: _Known, params: Mapping[str, str]) -> dict[str, str]:
    """What is not any more as MLflow holds it, as tags: a parameter can be logged only once."""
    return {
        names.NOW + name: value
        for name, value in params.items()
        if run.params.get(name, value) != value or names.NOW + name in run.tags
    }


def _dataset(context: str, profile: Mapping[str, Any], source: str, **known: Any) -> DatasetInput:
    """A data set as MLflow's pages show it; `known`: its name, digest and schema."""
    dataset = Dataset(
        source_type="local",
        source=json.dumps({"uri": source}),
        profile=json.dumps(profile),
        **known,
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


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


def _parts(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))
