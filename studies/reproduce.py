"""Train a tracked trial again, from the tracker alone, and compare: `--check` decides.

It trains on a CPU, alone, with the random numbers that the trial drew, wherever and however that
was: shuffles, noise and latents are the same. On the same machine kind, versions and threads every
metric must be equal to the last bit; elsewhere it must agree within a stated tolerance, which is
for the order of sums and the rounding of products alone. Which of the two was asked is printed.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import torch
import typer

from analysis.tracker import lookup
from analysis.tracker.client import Tracker, TrackerError
from studies.errors import InputError, StudyError
from studies.runner import preflight, provenance
from studies.tracker import location, names
from studies.tracker.address import with_driver
from vae_trainables import datasets
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.helpers import with_helpers
from vae_trainables.numerics.precision import effective
from vae_trainables.numerics.streams import Backend, default_backend
from vae_trainables.source import Source, SourceError, brought
from vae_trainables.training.session import Session
from vae_trainables.training.trial import Trial

TOLERANCE = 0.02  # relative, where bits may differ: sums are taken in another order elsewhere
DECISIVE_VERSIONS = ("torch", "numpy")


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


@dataclass(frozen=True)
class Comparison:
    """One metric at one epoch."""

    name: str
    epoch: int
    before: float
    again: float

    @property
    def equal(self) -> bool:
        """To the last bit."""
        return self.before == self.again

    @property
    def close(self) -> bool:
        """Within TOLERANCE, relatively."""
        return math.isclose(self.before, self.again, rel_tol=TOLERANCE, abs_tol=1e-6)


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
            if not name.startswith("time/")
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


def compare(original: Original, again: dict[int, dict[str, float]]) -> list[Comparison]:
    """Every recorded point beside its repetition; one that is missing now compares with NaN."""
    return [
        Comparison(name, epoch, value, again.get(epoch, {}).get(name, math.nan))
        for name, points in sorted(original.metrics.items())
        for epoch, value in sorted(points.items())
    ]


def differences(original: Original) -> list[str]:
    """What is not as it was: any of it may change the last bits."""
    now, before = provenance.versions(), original.provenance["versions"]
    changes = [f"{n} {before[n]} → {now[n]}" for n in DECISIVE_VERSIONS if before[n] != now[n]]
    if original.device != "cpu":
        changes.append(f"trained on {original.device}, again on cpu")
        precision = original.config.optimiser.precision
        if effective(precision, torch.device("cpu")) != precision:
            changes.append(f"its products in {precision}, again in fp32")
    if original.way != "alone":
        changes.append(f"trained in a {original.way}, again alone")
    if provenance.machine()["cpu"] != original.provenance["machine"]["cpu"]:
        changes.append("another CPU")
    if provenance.code_hash() != original.provenance["code"]:
        changes.append("other code of vae_trainables")
    return changes


def verdict(rows: list[Comparison], changed: list[str]) -> tuple[bool, str]:
    """Whether it was reproduced by the standard that applies, in a sentence."""
    equal = sum(row.equal for row in rows)
    if not changed:
        text = (
            f"same machine kind, versions, code, threads: {equal} of {len(rows)} points bit-equal"
        )
        return equal == len(rows), text
    close = sum(row.close for row in rows)
    text = (
        f"not the same conditions ({', '.join(changed)}): {close} of {len(rows)} points within "
        f"{TOLERANCE:.0%}, {equal} of them bit-equal"
    )
    return close == len(rows), text


def command(
    trial: Annotated[str, typer.Argument(help="A trial's run id or key, such as 0005.")],
    study: Annotated[
        str | None, typer.Option(help="Its study, where several have a trial of that key.")
    ] = None,
    tracking_uri: Annotated[
        str, typer.Option(help="Where the trial is recorded.", envvar="MLFLOW_TRACKING_URI")
    ] = "sqlite:///runs/mlflow.db",
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the IDX files.")] = None,
    data: Annotated[str | None, typer.Option(help="Where own images are now.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 unless it was reproduced.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Train a tracked trial again, from the tracker alone, and compare every logged point."""
    try:
        preflight.tracker_answers(tracking_uri)
        original = read(run_id_of(trial, tracking_uri, study), tracking_uri)
        images = load_data(original, data_dir, data)
        rows = compare(original, train_again(original, images))
    except StudyError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    last = max(row.epoch for row in rows)
    for row in rows:
        if row.epoch == last or not row.equal:
            sign = "=" if row.equal else "≈" if row.close else "≠"
            print(f"{row.name:<18} epoch {row.epoch:>3}  {row.before:.9g} {sign} {row.again:.9g}")
    good, text = verdict(rows, differences(original))
    print(f"{'reproduced' if good else 'NOT reproduced'}: {text}")
    if check and not good:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(command)
