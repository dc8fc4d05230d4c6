"""An opened study without Ray: what it tells the tracker, and what it says when it is not heard."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.report.sections.confirmed import findings
from analysis.tracker.client import Tracker as Tracked
from analysis.tracker.results import collect
from studies.errors import InputError
from studies.ledger.ledger import Ledger
from studies.runner import confirmation as runner_confirmation
from studies.runner import resuming, run
from studies.runner.console import Console
from studies.runner.interrupts import StopRequest
from studies.runner.planning import make_plan
from studies.runner.settings import Settings
from studies.scheduling.desk import Desk
from studies.tracker import names
from studies.tracker.delivery import Delivery
from studies.tracker.sender import SIGNS, SenderState
from studies.tracker.spool import read_events
from studies.tracker.tracker import Tracker
from tests.crash.study import STUDY
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.session import Session


def trained_here(data: TrialData) -> Callable[..., None]:
    """In place of workers: all trials one after the other."""

    def train(self: run.Run, desk: Desk, packed: dict[str, Any], phase: str) -> None:
        while (trial := desk.next()) is not None:
            desk.started(trial)
            session = Session(
                trial.config, data, desk.folder_of(trial), open_test=phase != "search"
            )
            while not desk.report(trial, session.next_record()):
                desk.check()

    return train


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs or resumes a study of two trials on the digits; its exit code."""
    settings = Settings(trials=2, epochs=2, storage=tmp_path, scheduler="none", train_size=200)
    data = run.load_data(make_plan(STUDY, replace(settings, confirm_top=1)))
    monkeypatch.setattr(run.Run, "_train", trained_here(data))
    monkeypatch.setattr(run.cluster, "release", lambda settings: None)
    monkeypatch.setattr(run.cluster, "keeps_workers_ready", lambda settings: False)
    monkeypatch.setattr(run, "FAREWELL_S", 0.01)
    monkeypatch.setattr(run.Course, "tick", run.Course.point)  # a point whenever there is news

    def start(**flags: Any) -> int:
        plan = make_plan(STUDY, replace(settings, **flags))
        folder = tmp_path / plan.name
        uri = plan.settings.tracking_uri or f"sqlite:///{tmp_path}/mlflow.db"
        ours, theirs = socket.socketpair()
        with resuming.open_ledger(plan, folder, resuming.facts(plan, data)) as (ledger, _), theirs:
            opened = run.Run(
                plan, data, ledger, folder, uri, None, Console(plan), StopRequest(), ours
            )
            return opened.run()

    return start


def events(folder: Path) -> list[dict[str, Any]]:
    return read_events(folder / "spool" / "events.jsonl", 0, 10**6).events


def test_a_study_whose_events_were_not_delivered_says_so_with_its_exit_code(
    study: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert study() == run.UNDELIVERED == 3
    assert "could not be delivered to the tracker" in capsys.readouterr().out
    monkeypatch.setattr(Tracker, "close", lambda *arguments: "")
    state = SenderState(notes=["deleted runs were restored: trial 0000"])
    monkeypatch.setattr(Tracker, "state", lambda self: state)
    assert study(trials=3, resume=True) == 0
    assert "note: MLflow: deleted runs were restored: trial 0000" in capsys.readouterr().out


def test_the_parents_charts_follow_the_study_and_go_on_when_it_is_resumed(
    study: Callable[..., int], tmp_path: Path
) -> None:
    study()
    study(trials=3, resume=True)
    points = [e for e in events(tmp_path / "crash") if e["event"] == "metrics" and not e["key"]]
    steps = [point["epoch"] for point in points]
    assert steps == sorted(set(steps))
    assert steps[-1] == 6
    last = points[-1]["values"]
    assert (last["study/finished"], last["study/pruned"], last["study/failed"]) == (3, 0, 0)
    best = [p["values"].get("study/best val mse") for p in points]
    known = [value for value in best if value is not None]
    assert known == sorted(known, reverse=True)
    assert all(p["values"]["study/epochs_per_s"] > 0 for p in points)


def test_a_confirmation_is_told_once_and_again_when_it_has_changed(
    study: Callable[..., int], tmp_path: Path
) -> None:
    study(seed=3, confirm_top=1, confirm_seeds=2)
    study(seed=3, confirm_top=1, confirm_seeds=2, resume=True)
    told = [e for e in events(tmp_path / "crash") if e["event"] == "result"]
    assert len(told) == 1
    study(seed=3, confirm_top=1, confirm_seeds=3, confirm_only=True)
    *_, last = told = [e for e in events(tmp_path / "crash") if e["event"] == "result"]
    assert [e["values"]["verdict/winner seeds"] for e in told] == [2, 3]
    assert told[0]["epoch"] < last["epoch"]
    assert last["values"]["verdict/p"] > 0
    tags = [e["tags"] for e in events(tmp_path / "crash") if e["event"] == "tags" and not e["key"]]
    assert any(names.VERDICT in tag and names.WINNER in tag for tag in tags)


def test_mlflow_is_told_of_a_confirmation_what_the_report_finds(
    study: Callable[..., int], tmp_path: Path
) -> None:
    study(confirm_top=1, confirm_seeds=3)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    told = [e for e in events(tmp_path / "crash") if e["event"] != "artifact"]
    delivery = Delivery(uri, "crash", tmp_path.as_uri())
    delivery.deliver(e for e in told if e["event"] not in SIGNS)
    run = delivery.client.get_run(delivery.runs[""].run_id)
    results = collect("crash", Tracked(uri))
    judged = findings(results)
    assert judged is not None
    confirmation, _ = judged
    logged = {k: v for k, v in run.data.metrics.items() if k.startswith("verdict/")}
    assert logged == pytest.approx(runner_confirmation.figures(confirmation), rel=1e-12)
    assert len(logged) >= 4
    assert run.data.params["trials"] == "2"
    assert run.data.tags[names.WINNER] == confirmation.winner.configuration


def test_what_a_damaged_spool_lost_is_told_again_from_the_ledger(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study()
    path = tmp_path / "crash" / "spool" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    about = [i for i, line in enumerate(lines) if b'"key":"0001"' in line]
    for number in about:  # all that was told of a trial
        lines[number] = b"\0" + lines[number][1:]
    path.write_bytes(b"".join(lines))
    before = len(lines)
    study(trials=2, resume=True)
    said = capsys.readouterr().out
    assert f"{path}:{about[0] + 1} is damaged" in said
    again = [(e["event"], e.get("path")) for e in events(tmp_path / "crash")[before - len(about) :]
             if e.get("key") == "0001"]  # fmt: skip
    assert again == [
        ("run", None),
        ("artifact", "trials/0001/weights.safetensors"),
        ("artifact", "trials/0001/config.json"),
        ("status", None),
    ]


@pytest.mark.parametrize(
    "uri",
    [
        "http://ada:s3cret@host:5000",
        "http://s3cret@host:5000",
        "postgresql://ada:s3cret/x@h/d",
        "postgresql://h/d?user=ada&password=s3cret",
        "mysql+pymysql://h/d?sslpassword=s3cret",
    ],
)
def test_a_secret_in_the_address_is_in_nothing_that_a_study_leaves_or_says(
    study: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--tracking-uri", uri, f"--tracking-uri={uri}"])
    assert study(tracking_uri=uri, trials=1) == run.UNDELIVERED
    said = capsys.readouterr()
    assert "mlflow ui" in said.out or "open http" in said.out
    assert "s3cret" not in said.out + said.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"study.json", "events.jsonl", "ledger.journal"} <= {path.name for path in files}
    for path in files:
        assert b"s3cret" not in path.read_bytes(), path


def test_a_resumed_study_repeats_nothing(study: Callable[..., int], tmp_path: Path) -> None:
    study()
    study(trials=2, resume=True)
    ends = [e for e in events(tmp_path / "crash") if e["event"] == "status" and e["key"]]
    assert len(ends) == 2
    ledger = Ledger(tmp_path / "crash", "crash")
    assert [t.attempt for t in ledger.trials.values()] == [1, 1]
    ledger.close()


def test_what_does_not_fit_is_refused_before_nets_that_judge_are_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(*_: Any) -> None:
        raise AssertionError("trained for nothing")

    monkeypatch.setattr(run, "with_helpers", train)
    reference = STUDY.reference.model_copy(update={"kind": "cond_conv_vae", "num_classes": 2})
    plan = make_plan(replace(STUDY, reference=reference), Settings(trials=2))
    with pytest.raises(InputError, match="num_classes = 2, but the training labels are 0 to 9"):
        run.load_data(plan)
