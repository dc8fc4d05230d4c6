from __future__ import annotations

import pandas as pd
import pytest

from analysis.tracker import runs
from analysis.tracker.client import Record
from analysis.tracker.runs import COLUMNS
from studies.tracker import names
from tests.analysis import bulk_studies


def record(run_id: str = "a", status: str = "FINISHED", **tags: str) -> Record:
    return Record(
        run_id, status, 1_000, 61_000,
        params={"latent_dim": "16", "lr": "0.001", "widths": "[32, 64]", "train_size": "null"},
        metrics={"val/mse": 0.02, "lr": 5e-4}, steps={"val/mse": 7, "lr": 7},
        tags={names.ROLE: names.ROLE_TRIAL, **tags},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16", 16), ("0.45", 0.45), ("true", True), ("null", None), ("None", None),
        ("[32, 64]", (32, 64)), ("conv_vae", "conv_vae"), ("", ""), ("1e-3", 1e-3),
        ('"quoted"', "quoted"), ("{broken", "{broken"),
    ],
)  # fmt: skip
def test_parameters_would_lose_their_type(text: str, value: object) -> None:
    assert runs.typed(text) == value
    assert type(runs.typed(text)) is type(value)


def test_a_column_would_be_undocumented() -> None:
    frame = bulk_studies.results("whole").trials
    extra = [name for name in frame if name not in COLUMNS]
    assert list(frame.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert all(name.startswith(("params.", "metrics.")) for name in extra)


def test_a_metric_would_hide_the_parameter_of_its_name() -> None:
    row = runs.frame([record()]).iloc[0]
    assert row["params.lr"] == 0.001
    assert row["metrics.lr"] == 5e-4


def test_times_and_epochs_would_be_wrong() -> None:
    row = runs.frame([record()]).iloc[0]
    assert row["epochs"] == 7
    assert row["duration_s"] == 60.0
    assert str(row["started"]) == "1970-01-01 00:00:01+00:00"


def test_a_running_trial_would_have_an_end() -> None:
    running = Record("r", "RUNNING", 1_000, None, tags={names.ROLE: names.ROLE_TRIAL})
    row = runs.frame([running]).iloc[0]
    assert row["status"] == "running"
    assert pd.isna(row["ended"])
    assert pd.isna(row["duration_s"])
    assert row["epochs"] == 0


def test_runs_of_others_would_be_taken_for_trials() -> None:
    foreign = Record("f", "FINISHED", 1, 2, metrics={"loss": 1.0})
    parent = Record("p", "FINISHED", 1, 2, tags={names.ROLE: names.ROLE_STUDY})
    assert runs.frame([foreign, parent, record()])["run_id"].tolist() == ["a"]


def test_an_old_run_without_our_tags_would_have_no_name_or_status() -> None:
    row = runs.frame([record("0123456789abcdef", "FAILED")]).iloc[0]
    assert (row["trial"], row["status"], row["phase"]) == ("01234567", "failed", "search")


def test_a_reason_would_show_a_password() -> None:
    tags = {names.REASON: "no answer from http://u:s3cret@host", names.NOTES: "http://u:p@h"}
    row = runs.frame([record(**tags)]).iloc[0]
    assert "s3cret" not in row["reason"]
    assert row["notes"] == "http://***@h"


def test_no_trial_at_all_would_have_no_columns() -> None:
    assert list(runs.frame([])) == list(COLUMNS)


def test_load_would_miss_trials_or_epochs() -> None:
    study = bulk_studies.STUDIES["plain"]
    frame = runs.load("plain", tracking_uri=bulk_studies.written("plain").tracking_uri)
    assert len(frame) == study.trials
    assert frame["trial"].tolist() == sorted(frame["trial"])
    finished = frame[frame["status"] == "finished"]
    assert (finished["epochs"] == study.epochs).all()
    assert finished["metrics.val/mse"].notna().all()


def test_histories_would_not_end_at_the_latest_value() -> None:
    results = bulk_studies.results("plain")
    chosen = results.ranked.iloc[:3]
    history = runs.histories(chosen["run_id"], ["val/mse"], tracker=results.tracker)
    last = history.sort_values("epoch").groupby("run_id")["value"].last()
    expected = chosen.set_index("run_id")["metrics.val/mse"]
    assert last.loc[expected.index].tolist() == expected.tolist()
    assert history.groupby("run_id")["epoch"].apply(list).tolist() == [list(range(1, 21))] * 3
