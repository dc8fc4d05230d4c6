"""Watching a study through the tracker: one moment as data, and the view until the end."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest
from rich.console import Console
from sqlalchemy import event
from typer.testing import CliRunner

from analysis import watch as watching
from analysis.tracker import runs
from analysis.tracker.client import Record, TrackerError
from analysis.tracker.results import StudyResults
from analysis.watch import Watcher, look, watch
from studies.tracker import names
from studies.tracker.delivery import Delivery
from tests.analysis import bulk

HOUR = 3_600_000
NOW = pd.Timestamp(10 * HOUR, unit="ms", tz="UTC")
SETTINGS = {"trials": 4, "epochs": 10, "gpus": 0}


def trial(
    key: str,
    status: str,
    start: float,
    end: float | None,
    *,
    epochs: int = 10,
    mse: float | None = 0.5,
    seconds: float | None = 3.0,
    **tags: str,
) -> Record:
    """Times in hours; `seconds` of an epoch, a third of it evaluation."""
    known = {"val/mse": mse}
    if seconds is not None:
        known |= {"time/epoch_s": seconds * 2 / 3, "time/eval_s": seconds / 3}
    metrics = {name: value for name, value in known.items() if value is not None}
    phase = key.partition("-")[0] if "-" in key else "search"
    whole = {
        names.ROLE: "trial", names.TRIAL: key, names.STATUS: status, names.PHASE: phase,
        names.ATTEMPT: "1", names.SEED: "0", names.CONFIG: key, **tags,
    }  # fmt: skip
    ended = None if end is None else int(end * HOUR)
    return Record(
        key, "RUNNING", int(start * HOUR), ended, {"threads": "2"}, metrics,
        dict.fromkeys(metrics, epochs), whole,
    )  # fmt: skip


def study(*trials: Record, status: str = "running", reason: str = "", **info: Any) -> StudyResults:
    tags = {names.ROLE: "study", names.STATUS: status, names.REASON: reason}
    ended = None if status == "running" else 9 * HOUR
    parent = Record("parent", "RUNNING", 4 * HOUR, ended, tags=tags)
    given = {"settings": SETTINGS, "objectives": [{"metric": "val/mse", "direction": "minimize"}]}
    return StudyResults("s", runs.frame(trials), Mock(), parent=parent, info=given | info)


def test_one_moment_of_a_running_study() -> None:
    found = look(
        study(
            trial("0000", "finished", 4, 6, mse=0.5, **{names.REFERENCE: "true"}),
            trial("0001", "finished", 4, 7, mse=0.2),
            trial("0002", "pruned", 6, 7, epochs=2, mse=0.1),
            trial("0003", "running", 9, None, epochs=4),
        ),
        NOW,
    )
    assert found.ended == ""
    facts = found.progress.facts()
    # 22 epochs for the three that ended: 7.33 expected, 3.33 left at 3 s each
    assert facts == {
        "finished": "2", "running": "1", "pruned": "1", "failed": "0", "best val/mse": "0.2",
        "reference": "0.5", "epochs/s": "0.33", "elapsed": "6:00:00", "left about": "0:10",
        "CPU-hours": "14.00",
    }  # fmt: skip


def test_speed_is_that_of_the_running_trials() -> None:
    fast, slow = (
        trial("0000", "running", 9, None, seconds=2.0),
        trial("0001", "running", 9, None, seconds=4.0),
    )
    begun = trial("0002", "running", 9, None, epochs=0, mse=None, seconds=None)
    assert look(study(fast, slow), NOW).progress.epochs_per_s == pytest.approx(2 / 3)
    assert look(study(fast, slow, begun), NOW).progress.epochs_per_s == pytest.approx(3 / 3)
    assert look(study(begun), NOW).progress.epochs_per_s == 0


def test_gpus_count_while_any_trial_runs_on_them() -> None:
    together = [trial("0000", "finished", 4, 6), trial("0001", "finished", 5, 7)]
    later = trial("0002", "finished", 8, 9)
    found = look(study(*together, later, settings=SETTINGS | {"gpus": 2}), NOW).progress
    assert found.facts()["GPU-hours"] == "8.00"  # two GPUs, from 4 to 7 and from 8 to 9


def test_a_trial_that_was_taken_up_again_held_nothing_in_between() -> None:
    again = trial("0000", "finished", 1, 9, seconds=360.0, **{names.ATTEMPT: "2"})
    assert look(study(again), NOW).progress.hours == pytest.approx(2 * 10 * 360 / 3600)


def test_a_run_that_was_opened_again_is_running_whatever_its_old_end() -> None:
    found = look(study(trial("0000", "running", 8, 9)), NOW)
    assert found.progress.hours == pytest.approx(2 * 2)


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        ("finished", "", "finished"),
        ("interrupted", "interrupted by the user", "interrupted: interrupted by the user"),
    ],
)
def test_an_ended_study_says_how_and_no_longer_gets_older(
    status: str, reason: str, said: str
) -> None:
    found = look(study(trial("0000", "finished", 4, 8), status=status, reason=reason), NOW)
    assert found.ended == said
    assert found.progress.elapsed_s == 5 * 3600
    assert "left about" in found.progress.facts()  # three of four trials never ran
    assert "left about" not in found.facts()
    assert found.progress.epochs_per_s == pytest.approx(10 / (5 * 3600))


def test_a_study_that_has_just_begun_shows_dashes() -> None:
    facts = look(study(), NOW).progress.facts()
    assert (facts["finished"], facts["best val/mse"], facts["reference"]) == ("0", "–", "–")
    assert "left about" not in facts


def test_a_study_without_parent_or_description_is_judged_by_its_trials() -> None:
    trials = runs.frame([trial("0000", "running", 9, None)])
    found = look(StudyResults("s", trials, Mock()), NOW)
    assert (found.ended, found.progress.elapsed_s) == ("", 3600)
    over = runs.frame([trial("0000", "finished", 8, 9)])
    assert look(StudyResults("s", over, Mock()), NOW).ended.startswith("over")


def test_companions_of_a_reference_are_runs_to_wait_for() -> None:
    settings = {"reference": True, "seeds": 2, "epochs": 10}
    both = [trial(f"reference-{i:04d}", "finished", 4, 5) for i in range(2)]
    assert look(study(*both, settings=settings), NOW).progress.asked.fixed_runs == 4


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Delivery]]:
    """Writes the events of a study under way into a real tracker."""
    delivery = Delivery(f"sqlite:///{tmp_path}/mlflow.db", "canlı izleme", tmp_path.as_uri())
    clock = iter(range(1_000, 10**9, 1_000))

    def tell(what: str, key: str = "", **fields: Any) -> Delivery:
        if what == "run":
            role = names.ROLE_TRIAL if key else names.ROLE_STUDY
            tags = {names.ROLE: role, names.STATUS: "running"} | fields.pop("tags", {})
            fields = {"name": key or "study", "params": {}, "tags": tags} | fields
        delivery.deliver([{"event": what, "key": key, "time": next(clock), **fields}])
        return delivery

    tell("run")
    return tell


@pytest.mark.slow
@pytest.mark.parametrize("terminal", [False, True])
def test_the_view_follows_a_study_and_ends_with_it(
    live: Callable[..., Delivery], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(watching, "READ_EVERY_S", 0.05)
    monkeypatch.setattr(watching, "READING_SHARE", 1.0)
    monkeypatch.setattr(watching, "LINE_EVERY_S", 0.0)
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=100)
    watcher = Watcher("canlı izleme", f"sqlite:///{tmp_path}/mlflow.db")
    thread = threading.Thread(target=watch, args=(watcher, console), daemon=True)
    thread.start()

    def see(text: str) -> None:
        for _ in range(600):
            if text in shown.getvalue():
                return
            thread.join(0.1)
        pytest.fail(f"{text!r} is not in {shown.getvalue()!r}")

    running = "running 0" if not terminal else "canlı izleme"
    see(running)
    live("run", "0000")
    live("metrics", "0000", epoch=1, values={"val/mse": 0.25, "time/epoch_s": 2.0})
    see("epochs/s 0.50" if not terminal else "0.50")
    live("status", "0000", status="finished", reason="")
    see("0.25")
    assert thread.is_alive()
    live("status", status="interrupted", reason="SIGTERM")
    thread.join(60)
    assert not thread.is_alive()
    last = shown.getvalue().splitlines()
    assert any("finished 1, running 0, pruned 0, failed 0, best" in line for line in last)
    assert "the study is interrupted: SIGTERM" in last
    assert last[-1].startswith("MLflow:")


@pytest.mark.slow
def test_a_tracker_that_stops_answering_is_said_and_waited_for(
    live: Callable[..., Delivery], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "READ_EVERY_S", 0.0)
    monkeypatch.setattr(watching, "LINE_EVERY_S", 0.0)
    shown = io.StringIO()
    watcher = Watcher("canlı izleme", f"sqlite:///{tmp_path}/mlflow.db")
    reads = iter([None, TrackerError("the tracker x cannot be read"), "end"])
    whole = watcher.read

    def read() -> watching.Look:
        step = next(reads)
        if isinstance(step, Exception):
            raise step
        if step == "end":
            live("status", status="finished", reason="")
        return whole()

    monkeypatch.setattr(watcher, "read", read)
    watch(watcher, Console(file=shown))
    assert "tracker the tracker x cannot be read" in shown.getvalue()
    assert "the study is finished" in shown.getvalue()


@pytest.mark.slow
def test_a_run_that_begins_during_a_reading_is_seen_at_the_next(
    live: Callable[..., Delivery], tmp_path: Path
) -> None:
    watcher = Watcher("canlı izleme", f"sqlite:///{tmp_path}/mlflow.db")
    store = watcher.tracker._sql_store
    assert store is not None

    waiting = ["0000"]

    def begin(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "FROM params" in statement and waiting:
            live("run", waiting.pop())

    event.listen(store.engine, "before_cursor_execute", begin)
    assert len(watcher.read().progress.trials) == 0
    assert len(watcher.read().progress.trials) == 1
    event.remove(store.engine, "before_cursor_execute", begin)


@pytest.mark.slow
def test_once_says_how_it_stands_in_one_line(tmp_path: Path) -> None:
    written = bulk.write(bulk.BulkStudy("ışık", trials=40, running=0.2), tmp_path)
    arguments = ["--study", "ışık", "--once", "--tracking-uri", written.tracking_uri]
    done = CliRunner().invoke(watching.app, arguments)
    assert done.exit_code == 0, done.stderr
    first = done.stdout.splitlines()[0]
    table = runs.load("ışık", tracking_uri=written.tracking_uri)
    assert first.startswith(f"finished {(table['status'] == 'finished').sum()}, running ")
    assert "best val/mse 0.0" in first
    assert "CPU-hours" in first


@pytest.mark.slow
def test_a_study_that_is_not_there_is_said_in_one_line_with_exit_code_2(tmp_path: Path) -> None:
    written = bulk.write(bulk.BulkStudy("there", trials=2), tmp_path)
    for study_name, uri, message in (
        ("absent", written.tracking_uri, "there are: 'there'"),
        ("there", f"sqlite:///{tmp_path}/no.db", "there is no MLflow database"),
    ):
        done = CliRunner().invoke(watching.app, ["--study", study_name, "--tracking-uri", uri])
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
