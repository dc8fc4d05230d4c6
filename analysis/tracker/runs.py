"""Runs as pandas tables: `load` one row per trial, `histories` one row per epoch.

>>> frame = load("my-study", tracking_uri="sqlite:///runs/mlflow.db")  # doctest: +SKIP
>>> frame.query("status == 'finished'").nsmallest(5, "metrics.val/mse")  # doctest: +SKIP
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import pandas as pd

from analysis.tracker.client import Record, Tracker, redact
from studies.tracker import names
from vae_trainables.kinds import KINDS

COLUMNS = {
    "trial": "the trial's key: '0007', 'confirm-0003', 'reference-0002'",
    "phase": "search, confirm or reference",
    "status": "running, finished, pruned, failed, diverged, out_of_memory, worker_lost, "
    "interrupted, or unknown",
    "reason": "why it did not finish, as text",
    "reference": "True where the configuration is the reference system's",
    "seed": "the trial's random seed",
    "config": "hash of the configuration without its seed: equal for repeats",
    "attempt": "how often the trial was started",
    "like": "key of the search trial whose configuration this one repeats",
    "parent": "key of the search trial from whose weights this one went on",
    "instead_of": "key of the search trial whose place it took",
    "trained": "epochs that it trained itself: an heir's first ones are its parent's",
    "notes": "what the trial remarked, such as a damaged checkpoint",
    "device": "cpu or cuda",
    "test_opened": "when the trial looked at the test split, UTC; missing if never",
    "epochs": "epochs that were reported",
    "started": "UTC",
    "ended": "UTC; missing while it runs",
    "duration_s": "seconds from start to end, waiting included",
    "run_id": "MLflow's id",
    "study": "the study's name",
}
"""The columns that every frame has; then `params.<name>` typed, `metrics.<name>` latest values."""

FAILED = ("failed", "diverged", "out_of_memory", "worker_lost")
PARAM, METRIC = "params.", "metrics."

_STATUS_OF_MLFLOW = {"RUNNING": "running", "FINISHED": "finished", "FAILED": "failed"}
_UNSET = {"None": None}
CLASS_SOURCES = {"given": "true class given", "predicted": "class predicted from the noisy image"}
"""`class_source` in words, for rows and captions."""


def load(study: str, *, tracking_uri: str | None = None) -> pd.DataFrame:
    """All trials of a study, one row each; the columns are `COLUMNS`, `params.…`, `metrics.…`.

    Args:
        study: the study's name, which is the name of its MLflow experiment.
        tracking_uri: MLflow's; by default MLFLOW_TRACKING_URI or `sqlite:///runs/mlflow.db`.

    Raises:
        TrackerError: no such tracker or study; the message lists the studies there are.
    """
    return frame(Tracker(tracking_uri).records(study))


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """The trials among `records` as a table; runs that are no trial of ours are left out."""
    rows = [_row(record) for record in records if is_trial(record)]
    table = pd.DataFrame(rows, columns=_all_columns(rows))
    table["reference"] = table["reference"].astype(bool)
    for name in ("seed", "attempt", "epochs", "trained"):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype("Int64")
    for name in ("started", "ended", "test_opened"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        table[name] = pd.to_datetime(numbers, unit="ms", utc=True)
    table["duration_s"] = (table["ended"] - table["started"]).dt.total_seconds()
    for name in table.columns[table.columns.str.startswith(METRIC)]:
        table[name] = table[name].astype(float)
    return table.sort_values("trial", kind="stable", ignore_index=True)


def histories(run_ids: Iterable[str], metrics: Iterable[str], *, tracker: Tracker) -> pd.DataFrame:
    """Every epoch's value: columns `run_id`, `metric`, `epoch` (1-based), `value`."""
    points = tracker.histories(run_ids, metrics)
    return pd.DataFrame(
        [(point.run_id, point.metric, point.step, point.value) for point in points],
        columns=["run_id", "metric", "epoch", "value"],
    )


def is_trial(record: Record) -> bool:
    """Whether a run is a trial that our tracker wrote."""
    return record.tags.get(names.ROLE) == names.ROLE_TRIAL


def class_note(trial: Mapping[Any, Any]) -> str:
    """Where a conditional trial had its classes when it was judged; empty for other kinds.

    trial: a row of `frame`.
    """
    kind = KINDS.get(str(trial.get(PARAM + "kind", "")))
    if kind is None or not kind.conditional:
        return ""
    return CLASS_SOURCES[str(trial.get(PARAM + "class_source") or "given")]


def is_study(record: Record) -> bool:
    """Whether a run is the parent run of a study."""
    return record.tags.get(names.ROLE) == names.ROLE_STUDY


def _row(record: Record) -> dict[str, Any]:
    tags = record.tags
    status = tags.get(names.STATUS) or _STATUS_OF_MLFLOW.get(record.status, "unknown")
    epochs = max(record.steps.values(), default=0)
    row: dict[str, Any] = {
        "trial": tags.get(names.TRIAL) or record.run_id[:8],
        "phase": tags.get(names.PHASE, "search"),
        "status": status,
        "reason": redact(tags.get(names.REASON, "")),
        "reference": tags.get(names.REFERENCE) == "true",
        "seed": tags.get(names.SEED),
        "config": tags.get(names.CONFIG, ""),
        "attempt": tags.get(names.ATTEMPT),
        "like": tags.get(names.LIKE, ""),
        "parent": tags.get(names.HEIR_OF, ""),
        "instead_of": tags.get(names.INSTEAD_OF, ""),
        "trained": max(epochs - int(tags.get(names.INHERITED, 0)), 0),
        "notes": redact(tags.get(names.NOTES, "")),
        "device": tags.get("vae.device", "cpu"),
        "test_opened": tags.get(names.TEST_OPENED),
        "epochs": epochs,
        "started": record.start_ms,
        "ended": record.end_ms,
        "run_id": record.run_id,
        "study": tags.get(names.STUDY, ""),
    }
    row |= {PARAM + name: typed(text) for name, text in record.params.items()}
    return row | {METRIC + name: value for name, value in record.metrics.items()}


def _all_columns(rows: list[dict[str, Any]]) -> list[str]:
    """`COLUMNS` in their order, then parameters and metrics by name."""
    extra = {name for row in rows for name in row} - COLUMNS.keys()
    params = sorted(name for name in extra if name.startswith(PARAM))
    return [*COLUMNS, *params, *sorted(extra - set(params))]


@lru_cache(maxsize=65_536)
def typed(text: str) -> Any:
    """A parameter as the tracker wrote it: numbers, booleans and null by JSON, else the text.

    >>> typed("0.45"), typed("[32, 64]"), typed("null"), typed("conv_vae")
    (0.45, (32, 64), None, 'conv_vae')
    """
    if text in _UNSET:
        return _UNSET[text]
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, list):  # a table of cells has to compare them: lists of mappings stay text
        return text if any(isinstance(part, dict) for part in value) else tuple(value)
    return value
