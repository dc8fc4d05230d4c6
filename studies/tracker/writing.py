"""What can be done to a run in MLflow, and how its client does it; `tables` is the other way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, Protocol

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

METRICS_PER_CALL = 800  # MLflow takes 1000 items in one batch,
ITEMS_PER_CALL = 100  # at most so many of them parameters, and so many tags
CONTEXT = "mlflow.data.context"


class Point(NamedTuple):
    """A metric's value at a step, and when it was taken, in ms."""

    name: str
    value: float
    time: int
    step: int


class Writer(Protocol):
    """Writes to the runs of one experiment. Raises where a run or the experiment is deleted."""

    def create(self, name: str, start: int | None, tags: Mapping[str, str]) -> tuple[str, str]:
        """A new run: its id, and where its artifacts belong. start: in ms; None: now."""

    def reopen(self, run_id: str) -> None:
        """An ended run goes on."""

    def log_data(self, run_id: str, data: Sequence[Mapping[str, Any]]) -> None:
        """The data sets that a run sees, as `Delivery` takes them."""

    def log(
        self,
        run_id: str,
        points: Sequence[Point],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """Add to a run; a point that is there already changes nothing."""

    def end(self, run_id: str, status: str, time: int | None) -> None:
        """End a run; None: now."""


class ByClient:
    """By MLflow's client: one call or more for each."""

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self.client, self.experiment = client, experiment

    def create(self, name: str, start: int | None, tags: Mapping[str, str]) -> tuple[str, str]:
        """See `Writer`."""
        run = self.client.create_run(
            self.experiment, start_time=start, tags=dict(tags), run_name=name
        )
        return run.info.run_id, run.info.artifact_uri

    def reopen(self, run_id: str) -> None:
        """See `Writer`."""
        self.client.update_run(run_id, status="RUNNING")

    def log_data(self, run_id: str, data: Sequence[Mapping[str, Any]]) -> None:
        """See `Writer`."""
        self.client.log_inputs(run_id, [_dataset(**described) for described in data])

    def log(
        self,
        run_id: str,
        points: Sequence[Point],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """See `Writer`."""
        metrics = [Metric(point.name, point.value, point.time, point.step) for point in points]
        parts = zip_longest(
            _parts(metrics, METRICS_PER_CALL),
            _parts([Param(k, v) for k, v in params.items()], ITEMS_PER_CALL),
            _parts([RunTag(k, v) for k, v in tags.items()], ITEMS_PER_CALL),
            fillvalue=(),
        )
        for some_metrics, some_params, some_tags in parts:
            self.client.log_batch(run_id, some_metrics, some_params, some_tags)

    def end(self, run_id: str, status: str, time: int | None) -> None:
        """See `Writer`."""
        self.client.set_terminated(run_id, status=status, end_time=time)


def _dataset(context: str, profile: Mapping[str, Any], source: str, **known: Any) -> DatasetInput:
    """A data set as MLflow's pages show it; `known`: its name, digest and schema."""
    dataset = Dataset(
        source_type="local",
        source=json.dumps({"uri": source}),
        profile=json.dumps(profile),
        **known,
    )
    return DatasetInput(dataset, [InputTag(CONTEXT, context)])


def _parts(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))
