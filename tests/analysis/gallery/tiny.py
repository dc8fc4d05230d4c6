"""Real runs for the gallery's tests: tiny trials, trained here and logged through the tracker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.tracker import names
from studies.tracker.delivery import Delivery
from vae_trainables import datasets
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training import session
from vae_trainables.training.session import Session

SLICES = Path(__file__).parents[2] / "data"


@dataclass(frozen=True)
class Logged:
    """Where a study was logged, and the run of each of its trials."""

    uri: str
    study: str
    runs: dict[str, str]


def load(dataset: str, data_dir: Path | None = None) -> TrialData:
    """All splits of `dataset`; by default of its slice under tests/data."""
    folder = data_dir or (None if dataset == "digits" else SLICES / dataset)
    return TrialData(*(datasets.load(dataset, split, folder) for split in datasets.SPLITS))


def log_study(
    folder: Path,
    study: str,
    trials: dict[str, TrialConfig],
    data: TrialData,
    *,
    data_dir: Path | None,
    phase: str = "reference",
) -> Logged:
    """Train each of `trials`, one key each, and log them with their parent run as a study does."""
    uri = f"sqlite:///{folder}/mlflow.db"
    delivery = Delivery(uri, study, (folder / "artifacts").as_uri())
    delivery.deliver([_run("", {names.ROLE: names.ROLE_STUDY}, {})])
    facts = {"data": {"train": data.train.fingerprint(), "val": data.val.fingerprint()}}
    settings = {"data_dir": str(data_dir) if data_dir else None}
    for name, value in (
        (names.PROVENANCE_FILE, facts),
        (names.STUDY_FILE, {"name": study, "kind": study, "settings": settings}),
    ):
        (folder / name).write_text(json.dumps(value))
        delivery.deliver([_artifact("", folder / name, None)])
    for key, config in trials.items():
        delivery.deliver(_story(key, config, data, folder / "trials" / key, phase))
    delivery.deliver([_status("")])
    return Logged(uri, study, {key: delivery.runs[key].run_id for key in trials})


def _story(
    key: str, config: TrialConfig, data: TrialData, folder: Path, phase: str
) -> list[dict[str, Any]]:
    """Everything that a driver tells the tracker about one trial."""
    tags = {
        names.ROLE: names.ROLE_TRIAL,
        names.PHASE: phase,
        names.SEED: config.seed,
        names.CONFIG: config.fingerprint(),
        names.REFERENCE: str(phase == "reference").lower(),
        names.DATASET: config.data.dataset,
    }
    events = [_run(key, tags, config.model_dump(mode="json"))]
    trial = Session(config, data, folder, open_test=phase != "search")
    while True:
        record = trial.next_record()
        events.append(
            {
                "event": "metrics", "key": key, "epoch": record.epoch,
                "values": record.metrics, "time": record.time_ms,
            }
        )  # fmt: skip
        if record.outcome != "running":
            break
    assert record.outcome == "finished", record.reason
    events += [_artifact(key, folder / each, "checkpoint") for each in _CHECKPOINT]
    return [*events, _status(key)]


_CHECKPOINT = (session.WEIGHTS, session.CONFIG)


def _run(key: str, tags: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    name = f"trial-{key}" if key else "study"
    return {"event": "run", "key": key, "name": name, "tags": tags, "params": params, "time": 5}


def _artifact(key: str, path: Path, folder: str | None) -> dict[str, Any]:
    return {"event": "artifact", "key": key, "path": str(path), "folder": folder}


def _status(key: str) -> dict[str, Any]:
    return {"event": "status", "key": key, "status": "finished", "reason": "", "time": 999}
