"""What earlier studies have found, read from the tracker: for a study that begins with it.

    python -m studies.tracker.earlier NAME ...      # the tracker's address in the environment

A process of its own, for MLflow takes seconds to import and the driver does without it. It prints
JSON: a list of what `Earlier` holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from studies.errors import InputError
from studies.tracker import location, names
from studies.tracker.address import redact, with_driver
from studies.tracker.line import URI_VARIABLE

LIMIT_S = 600.0
PAGE = 1000
MODULE = "studies.tracker.earlier"


@dataclass(frozen=True)
class EarlierTrial:
    """A finished trial of a search: its configuration as the tracker keeps it, its last figures."""

    key: str
    params: dict[str, str]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Earlier:
    """A study in the tracker.

    Attributes:
        data: fingerprints of its images by split; empty where nothing tells of them.
        code: fingerprint of the code that trained.
        others: search trials that did not finish.
    """

    name: str
    data: dict[str, str] = field(default_factory=dict)
    code: str = ""
    trials: list[EarlierTrial] = field(default_factory=list)
    others: int = 0


def read(uri: str, studies: Sequence[str]) -> list[Earlier]:
    """In a process of its own; raises InputError where a study is missing or nothing answers."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, *studies],
            env=os.environ | {URI_VARIABLE: uri, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"--warm-start: the tracker {redact(uri)} took more than {LIMIT_S:.0f} s to tell"
        ) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word from it"])[-1]
        raise InputError(f"--warm-start: {last}")
    return [
        Earlier(**told | {"trials": [EarlierTrial(**trial) for trial in told["trials"]]})
        for told in json.loads(done.stdout.splitlines()[-1])
    ]


def look(client: Any, study: str) -> Earlier:
    """One study; raises LookupError where the tracker has none of that name."""
    experiment = client.get_experiment_by_name(study)
    if experiment is None or experiment.lifecycle_stage != "active":
        raise LookupError(f"there is no study {study!r} in the tracker")
    data: dict[str, Any] = {}
    trials: dict[str, EarlierTrial] = {}
    others = 0
    for run in _runs(client, experiment.experiment_id):
        tags = run.data.tags
        if tags.get(names.ROLE) == names.ROLE_STUDY:
            data = _provenance(client, run.info.run_id)
        elif tags.get(names.PHASE) == "search" and names.PROBE not in tags:
            if tags.get(names.STATUS) == "finished":
                key = tags[names.TRIAL]
                trials[key] = EarlierTrial(key, dict(run.data.params), dict(run.data.metrics))
            else:
                others += 1
    return Earlier(
        study,
        data.get("data", {}),
        data.get("code", ""),
        [trials[key] for key in sorted(trials)],
        others,
    )


def _runs(client: Any, experiment_id: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _provenance(client: Any, run_id: str) -> dict[str, Any]:
    """Of which images and which code; empty where the study was stopped before it told."""
    if names.PROVENANCE_FILE not in {file.path for file in client.list_artifacts(run_id)}:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(client.download_artifacts(run_id, names.PROVENANCE_FILE, folder))
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return told


def main() -> None:
    """Print what there is, or one line of what is wrong."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = os.environ[URI_VARIABLE]
    try:
        location.settle(uri)
        client = MlflowClient(tracking_uri=with_driver(uri))
        print(json.dumps([asdict(look(client, study)) for study in sys.argv[1:]]))
    except (MlflowException, LookupError, OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        print(redact(first), file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
