from __future__ import annotations

from pathlib import Path

import pytest

from analysis.tracker import runs
from analysis.tracker.client import Tracker, TrackerError, one_line, redact
from tests.analysis import bulk_studies, pictured


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://ada:s3cret@db:5432/m", "postgresql://***@db:5432/m"),
        ("postgresql://ada:p@ss@db/m", "postgresql://***@db/m"),
        ("postgresql://ada:p/a@ss@db/m", "postgresql://***@db/m"),
        ("http://host:5000/#/a?b=c@d", "http://host:5000/#/a?b=c@d"),
        ("mysql+driver://u:12/34@h/d", "mysql+driver://***@h/d"),
        ("http://token@host", "http://***@host"),
        ("https://host/?api_key=abc&x=1", "https://host/?api_key=***&x=1"),
        ("mysql://h/db?user=a&Password=b", "mysql://h/db?user=a&Password=***"),
        ("x --uri 'http://u:p@a/b' http://u:p@c", "x --uri 'http://***@a/b' http://***@c"),
        ("sqlite:////tmp/a@b/mlflow.db", "sqlite:////tmp/a@b/mlflow.db"),
        ("mail ada@example.org, see http://host/a@b", "mail ada@example.org, see http://host/a@b"),
    ],
)
def test_secrets_of_addresses_would_be_shown(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_an_error_line_would_show_a_password_or_many_lines() -> None:
    error = OSError("cannot reach http://u:s3cret@host\nTraceback follows")
    assert one_line(error) == "cannot reach http://***@host"
    assert one_line(OSError()) == "OSError"


def test_a_mistyped_database_would_be_created(tmp_path: Path) -> None:
    path = tmp_path / "nothing.db"
    with pytest.raises(TrackerError, match=r"no MLflow database .*nothing\.db"):
        Tracker(f"sqlite:///{path}")
    assert not path.exists()


def test_a_foreign_sqlite_file_would_end_in_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("not a database")
    with pytest.raises(TrackerError, match="cannot be read"):
        Tracker(f"sqlite:///{path}")


def test_an_unknown_study_would_not_say_which_there_are() -> None:
    bulk_studies.written("plain")
    with pytest.raises(TrackerError, match=r"'nope' is not in .*there are: .*'plain'"):
        Tracker(bulk_studies.uri()).records("nope")


def test_reading_by_sql_and_by_mlflows_search_would_differ() -> None:
    """One is the fast way into a database, the other the way over HTTP."""
    bulk_studies.written("plain")
    fast, slow = Tracker(bulk_studies.uri()), Tracker(bulk_studies.uri())
    slow.__dict__["_sql_store"] = None
    assert fast.records("plain") == slow.records("plain")
    ids = [record.run_id for record in fast.records("plain")][:8]
    metrics = ["val/mse", "val/kl"]
    by_sql, by_client = fast.histories(ids, metrics), slow.histories(ids, metrics)
    assert by_sql
    assert set(by_sql) == set(by_client)


def test_deleted_runs_would_come_back() -> None:
    written = bulk_studies.written("one")
    tracker = Tracker(written.tracking_uri)
    client = pictured.client(written)
    run_id = written.run_ids[0]
    client.delete_run(run_id)
    try:
        assert run_id not in {record.run_id for record in tracker.records("one")}
    finally:
        client.restore_run(run_id)
    assert run_id in {record.run_id for record in tracker.records("one")}


def test_a_replayed_step_would_count_twice() -> None:
    written = bulk_studies.written("one")
    run_id = written.run_ids[0]
    client = pictured.client(written)
    client.log_metric(run_id, "again", 1.0, timestamp=1, step=3)
    client.log_metric(run_id, "again", 2.0, timestamp=2, step=3)
    fast, slow = Tracker(written.tracking_uri), Tracker(written.tracking_uri)
    slow.__dict__["_sql_store"] = None
    for tracker in (fast, slow):
        history = runs.histories([run_id], ["again"], tracker=tracker)
        assert history[["epoch", "value"]].to_numpy().tolist() == [[3, 2.0]]


def test_an_absent_artifact_would_raise() -> None:
    written = bulk_studies.written("plain")
    tracker = Tracker(written.tracking_uri)
    assert written.parent_id is not None
    assert tracker.artifact(written.parent_id, "nothing.json") is None
    assert tracker.artifact(written.parent_id, "no/folder/nothing.json") is None
    found = tracker.artifact(written.parent_id, "study.json")
    assert found is not None
    assert '"plain"' in found.read_text()
