"""A trial as its tracker remembers it, trained again on a CPU with the random numbers it drew."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from analysis.tracker import lookup
from analysis.tracker.client import Tracker, TrackerError
from studies.errors import InputError, StudyError
from studies.tracker import location, names
from studies.tracker.address import with_driver
from vae_trainables import datasets
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.helpers import with_helpers
from vae_trainables.numerics.streams import Backend, default_backend
from vae_trainables.source import Source, SourceError, brought
from vae_trainables.training.session import Session
from vae_trainables.training.trial import Trial

MEASURED = ("time/", names.COST)  # metrics of the machine, not of the trial


@dataclass(frozen=True)
class Original:
    """A trial as the tracker remembers it: metrics by name and epoch."""

    run_id: str
    config: TrialConfig
    metrics: dict[str, dict[int, float]]
    opened_test: bool
    provenance: dict[str, Any]
    source: Mapping[str, Any]
    """Where its images came from: the study's flags `data`, `data_dir` and `resize`."""
    device: str = "cpu"
    backend: Backend = "generator"
    way: str = "alone"
    arrays: datasets.Arrays | None = None
    """Makes the images that the study's own file brings."""

    @property
    def epochs(self) -> int:
        """The last epoch that was recorded."""
        return max((max(points) for points in self.metrics.values()), default=0)


def run_id_of(trial: str, uri: str, study: str | None = None) -> str:
    """The run of the trial that goes by a key such as 0005; a run id comes back as it is.

    Raises InputError where there is no such trial or study, or several studies have one.
    """
    try:
        return lookup.run_id_of(Tracker(uri), trial, study)
    except TrackerError as error:
        raise InputError(str(error)) from error


def read(run_id: str, uri: str) -> Original:
    """The trial `run_id`; raises InputError where there is none that can be trained again."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    location.settle(uri)  # of a storage that was moved
    client = MlflowClient(tracking_uri=with_driver(uri))
    try:
        run = client.get_run(run_id)
        parent = run.data.tags.get(names.PARENT)
        if run.data.tags.get(names.ROLE) != names.ROLE_TRIAL or parent is None:
            raise InputError(f"run {run_id} is no trial of a study: give the id of a child run")
        metrics = {
            name: {m.step: m.value for m in client.get_metric_history(run_id, name)}
            for name in run.data.metrics
            if not name.startswith(MEASURED)
        }
        with tempfile.TemporaryDirectory() as folder:
            there = {file.path for file in client.list_artifacts(parent)}
            files = {
                name: Path(client.download_artifacts(parent, name, folder)).read_text("utf-8")
                for name in (names.PROVENANCE_FILE, names.STUDY_FILE, names.SOURCE_FILE)
                if name in there or name != names.SOURCE_FILE
            }
        own = files.get(names.SOURCE_FILE)
        arrays = brought(Source.from_json(own)) if own else None
    except SourceError as error:
        raise InputError(f"run {run_id}: {error}") from error
    except MlflowException as error:
        raise InputError(f"run {run_id}: {str(error).splitlines()[0]}") from error
    device = run.data.tags.get("vae.device", "cpu")
    return Original(
        run_id,
        TrialConfig.from_texts(run.data.params),
        metrics,
        names.TEST_OPENED in run.data.tags,
        json.loads(files[names.PROVENANCE_FILE]),
        json.loads(files[names.STUDY_FILE])["settings"],
        device,
        _backend(run.data.tags.get(names.RANDOM), device),
        run.data.tags.get(names.WAY, "alone"),
        arrays,
    )


def _backend(recorded: str | None, device: str) -> Backend:
    """The backend of a trial's random numbers; before it was recorded it followed the device."""
    backends: dict[str | None, Backend] = {name: name for name in get_args(Backend)}
    return backends.get(recorded, default_backend(torch.device(device)))


def load_data(
    original: Original, data_dir: Path | None = None, data: str | None = None
) -> TrialData:
    """The trial's data; raises InputError if it is not the data that the trial saw."""
    split_names = ("train", "val", "test") if original.opened_test else ("train", "val")
    try:
        source = datasets.recorded_source(
            original.config.data,
            original.source,
            data=data,
            data_dir=data_dir,
            arrays=original.arrays,
        )
        splits = source.splits(split_names)
    except datasets.DataError as error:
        raise InputError(str(error)) from error
    for name, seen in original.provenance["data"].items():
        if splits[name].fingerprint() != seen:
            raise InputError(
                f"the {name} images of {original.config.data.dataset} are not those of the trial "
                f"(fingerprint {splits[name].fingerprint()}, was {seen}); give --data or --data-dir"
            )
    return with_helpers(
        TrialData(splits["train"], splits["val"], splits.get("test")), [original.config]
    )


def train_again(original: Original, data: TrialData) -> dict[int, dict[str, float]]:
    """Metrics by epoch of the same configuration, as far as the trial went."""
    again: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        session = Session(
            original.config,
            data,
            Path(folder),
            open_test=original.opened_test,
            trial_type=partial(Trial, backend=original.backend),
        )
        for _ in range(original.epochs):
            record = session.next_record()
            if record.outcome not in ("running", "finished"):
                raise StudyError(f"the trial {record.outcome} this time: {record.reason}")
            again[record.epoch] = record.metrics
            print(f"epoch {record.epoch}/{original.epochs}", file=sys.stderr)
    return again
