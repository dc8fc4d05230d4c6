from __future__ import annotations

import json
import math
import socket
from pathlib import Path

import optuna
import pytest

from studies.definition import Goal, Objective
from studies.errors import StudyStopped
from studies.ledger.ledger import Ledger, LedgerTrial
from studies.scheduling.desk import Desk, Limits
from studies.scheduling.pruning import SuccessiveHalving
from studies.tracker.tracker import Tracker
from vae_trainables.config import TrialConfig
from vae_trainables.training.session import Outcome, Record

MSE = Objective("val/mse", "minimize")
PROBE = Objective("val/probe", "maximize")
REFERENCE = TrialConfig(epochs=9)


class SpoolOnly(Tracker):
    """A tracker whose events stay in the spool."""

    def _start_sender(self) -> socket.socket:
        return socket.socketpair()[0]

    def _tend(self) -> None:
        """No sender, nothing to tend."""

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.spool.path.read_text().splitlines()]


class Office:
    """A desk with its ledger and spool, opened again as after a crash."""

    def __init__(self, folder: Path, **kwargs: object) -> None:
        self.ledger = Ledger(folder, "s")
        objectives = kwargs.pop("objectives", [MSE])
        if not self.ledger.exists:
            self.ledger.create(Goal(tuple(objectives), MSE), {})
        else:
            self.ledger.pursue(Goal(tuple(objectives), MSE), None)
        self.ledger.use_sampler(optuna.samplers.RandomSampler(seed=0))
        self.tracker = SpoolOnly(folder / "spool", "sqlite:///x", "s")
        limits = kwargs.pop("limits", Limits())
        self.desk = Desk(
            self.ledger,
            self.tracker,
            folder=folder,
            source=lambda: self.ledger.ask(self.configure, REFERENCE),
            objectives=objectives,
            prune_on=MSE,
            pruner=kwargs.pop("pruner", None),
            limits=limits,
            tags={"vae.kind": "k"},
            backlog=list(self.ledger.open.values()),
            **kwargs,
        )

    @staticmethod
    def configure(trial: optuna.Trial) -> TrialConfig:
        return TrialConfig(epochs=9, lr=trial.suggest_float("lr", 1e-4, 1e-2))

    def begin(self) -> LedgerTrial:
        trial = self.desk.next()
        assert trial is not None
        self.desk.started(trial)
        return trial

    def report(
        self, trial: LedgerTrial, epoch: int, outcome: Outcome = "running", **metrics
    ) -> bool:
        values = {f"val/{name}": value for name, value in metrics.items()}
        return self.desk.report(trial, Record(epoch, outcome, "", 1000 + epoch, values))

    def status(self, trial: LedgerTrial) -> tuple[str, str]:
        """(ledger, what the tracker was told)"""
        told = [e["status"] for e in self.tracker.events() if e["event"] == "status"]
        return trial.status, told[-1]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_finished_trial_is_finished_everywhere(office: Office) -> None:
    trial = office.begin()
    assert not office.report(trial, 1, mse=0.5)
    assert office.report(trial, 2, "finished", mse=0.25)
    assert office.status(trial) == ("finished", "finished")
    assert trial.values == [0.25]


@pytest.mark.parametrize("outcome", ["failed", "diverged", "out_of_memory"])
def test_a_trial_that_ends_badly_says_so_everywhere(office: Office, outcome: Outcome) -> None:
    trial = office.begin()
    assert office.report(trial, 1, outcome)
    assert office.status(trial) == (outcome, outcome)
    assert trial.values is None


def test_a_trial_that_cannot_be_saved_stops_the_study_and_is_kept(office: Office) -> None:
    trial = office.begin()
    with pytest.raises(StudyStopped, match="trial 0000 could not save its epoch"):
        office.report(trial, 1, "unsaved")
    office.desk.interrupt("the storage is full")
    assert office.status(trial) == ("interrupted", "interrupted")
    assert trial.key in office.ledger.open


def test_the_user_hears_why_a_trial_failed(tmp_path: Path) -> None:
    lines: list[str] = []
    office = Office(tmp_path, say=lines.append)
    trial = office.begin()
    office.desk.report(trial, Record(1, "out_of_memory", "no room"))
    assert lines == ["trial 0000: out of memory: no room"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_no_number_is_divergence(office: Office, value: float) -> None:
    trial = office.begin()
    assert office.report(trial, 1, mse=value)
    assert office.status(trial) == ("diverged", "diverged")


def test_a_metric_left_out_fails_the_trial_and_not_the_study(office: Office) -> None:
    trial = office.begin()
    assert office.report(trial, 1, psnr=3.0)
    assert office.status(trial) == ("failed", "failed")
    assert "val/mse was left out" in trial.reason


def test_an_objective_left_out_at_the_end_fails_the_trial(tmp_path: Path) -> None:
    office = Office(tmp_path, objectives=[MSE, PROBE])
    trial = office.begin()
    assert office.report(trial, 1, "finished", mse=0.1)
    assert trial.status == "failed"
    assert "val/probe was left out" in trial.reason


def test_pruning_is_recorded_at_its_epoch(tmp_path: Path) -> None:
    rule = SuccessiveHalving(grace=1, eta=3, max_epochs=9, direction="minimize")
    office = Office(tmp_path, pruner=rule)
    good, bad = office.begin(), office.begin()
    assert not office.report(good, 1, mse=0.1)
    assert office.report(bad, 1, mse=0.9)
    assert office.status(bad) == ("pruned", "pruned")
    assert "epoch 1" in bad.reason


def test_the_reference_is_a_measure_for_others_and_stays_behind_them(tmp_path: Path) -> None:
    rule = SuccessiveHalving(grace=1, eta=2, max_epochs=9, direction="minimize")
    office = Office(tmp_path, pruner=rule)
    good, reference, bad = office.begin(), office.begin(), office.begin()
    reference.reference = True
    assert not office.report(good, 1, mse=0.1)
    assert not office.report(reference, 1, mse=0.9)
    assert reference.status == "running"
    assert office.report(bad, 1, mse=0.8), "behind the middle of 0.1 and 0.9"


def test_a_trial_that_reaches_its_last_epoch_is_finished_not_pruned(tmp_path: Path) -> None:
    rule = SuccessiveHalving(grace=9, eta=3, max_epochs=9, direction="minimize")
    office = Office(tmp_path, pruner=rule)
    good, bad = office.begin(), office.begin()
    office.report(good, 9, "finished", mse=0.1)
    office.report(bad, 9, "finished", mse=0.9)
    assert bad.status == "finished"


def test_a_killed_driver_goes_on_with_what_was_under_way(tmp_path: Path) -> None:
    office = Office(tmp_path)
    trial = office.begin()
    office.report(trial, 1, mse=0.5)
    office.ledger.close()
    again = Office(tmp_path)
    resumed = again.begin()
    assert (resumed.key, resumed.attempt) == (trial.key, 2)
    for epoch in (1, 2):  # the session repeats what its checkpoint holds
        again.report(resumed, epoch, mse=0.5 / epoch)
    metrics = [e for e in again.tracker.events() if e["event"] == "metrics"]
    assert [e["epoch"] for e in metrics] == [1, 2], "no point is logged twice"
    assert resumed.curve("val/mse") == {1: 0.5, 2: 0.25}


def test_an_interruption_is_told_and_the_trial_goes_on_later(tmp_path: Path) -> None:
    office = Office(tmp_path)
    trial = office.begin()
    office.desk.interrupt("Ctrl-C")
    assert office.status(trial) == ("interrupted", "interrupted")
    office.ledger.close()
    assert Office(tmp_path).begin().key == trial.key


def test_failures_in_a_row_stop_the_study_and_others_do_not(tmp_path: Path) -> None:
    office = Office(tmp_path, limits=Limits(failures_in_a_row=2))
    office.report(office.begin(), 1, "failed")
    office.report(office.begin(), 1, "finished", mse=0.1)
    office.report(office.begin(), 1, "failed")
    office.desk.check()
    office.report(office.begin(), 1, "diverged")
    with pytest.raises(StudyStopped, match="2 trials in a row failed"):
        office.desk.check()


def test_the_time_budget_stops_the_study(tmp_path: Path) -> None:
    office = Office(tmp_path, limits=Limits(time_budget_s=0, deadline=0))
    with pytest.raises(StudyStopped, match="time budget"):
        office.desk.check()


def test_a_study_without_workers_does_not_wait_for_ever(tmp_path: Path) -> None:
    office = Office(tmp_path, limits=Limits(starvation_s=0))
    with pytest.raises(StudyStopped, match="no worker"):
        office.desk.check()


def test_the_tracker_hears_of_an_end_before_the_ledger_knows_it(office: Office) -> None:
    """Else a driver killed in between would leave a run RUNNING that nobody takes up again."""
    trial = office.begin()
    order: list[str] = []
    tracker_ended, ledger_end = office.tracker.ended, office.ledger.end
    office.tracker.ended = lambda *a: (order.append("tracker"), tracker_ended(*a))  # type: ignore
    office.ledger.end = lambda *a, **k: (order.append("ledger"), ledger_end(*a, **k))  # type: ignore
    office.report(trial, 1, "finished", mse=0.1)
    assert order == ["tracker", "ledger"]


def test_checkpoints_of_an_ended_trial_are_removed_and_its_weights_stay(office: Office) -> None:
    trial = office.begin()
    folder = office.desk.folder_of(trial)
    folder.mkdir(parents=True)
    (folder / "epoch-0001.safetensors").write_bytes(b"")
    (folder / "weights.safetensors").write_bytes(b"")
    office.report(trial, 1, "finished", mse=0.1)
    assert [p.name for p in folder.iterdir()] == ["weights.safetensors"]


def test_what_a_repetition_must_know_becomes_tags_once(tmp_path: Path) -> None:
    office = Office(tmp_path)
    trial = office.begin()
    how = {"random": "counter", "way": "cohort"}
    office.desk.report(trial, Record(1, "running", metrics={"val/mse": 0.5}, how=how))
    office.desk.report(trial, Record(2, "running", metrics={"val/mse": 0.4}))
    tags = [event["tags"] for event in office.tracker.events() if event["event"] == "tags"]
    assert tags == [{"vae.random": "counter", "vae.way": "cohort"}]
