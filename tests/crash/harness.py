"""Starts drivers, waits for what the ledger says, kills, and reads all three records of a study.

Nothing here sleeps for a fixed time: every wait polls for a state, and the time-outs are for
machines that are busy with other things.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import torch
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from studies.ledger.layout import EPOCH
from studies.tracker import names
from vae_trainables import checkpoint, datasets
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.trial import Trial

ROOT = Path(__file__).parent.parent.parent
FULL = os.environ.get("VAE_STUDIES_CRASH") == "full"
full_form = pytest.mark.skipif(not FULL, reason="part of make crash-test")
PATIENCE_S = 400.0  # for anything that should happen at all
EXIT_S = 10.0  # from a signal to the end of the driver, on a machine with nothing else to do
NAME = "crash"
ENDED = {"finished", "pruned", "failed", "diverged", "out_of_memory", "worker_lost"}

optuna.logging.set_verbosity(optuna.logging.WARNING)


def wait_until(happened: Callable[[], Any], what: str, timeout: float = PATIENCE_S) -> Any:
    """Poll until `happened()` is true, and return it."""
    deadline = time.monotonic() + timeout
    while not (found := happened()):
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.02)
    return found


def allowed(seconds: float) -> float:
    """A limit meant for an idle machine, stretched, up to threefold, by what else runs here."""
    return seconds * min(3.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


@dataclass(frozen=True)
class Row:
    """A trial in the ledger, read without touching it."""

    status: str
    state: str
    attempt: int
    reason: str
    reports: dict[int, dict[str, float]]
    config: TrialConfig


class Driver:
    """A running `python -m tests.crash.study`, in a process group of its own."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """All it has printed."""
        return self.log.read_text()

    def until(self, happened: Callable[[], Any], what: str) -> Any:
        """Wait for something while the driver runs; fails when it ends before that."""

        def check() -> Any:
            found = happened()
            ended = self.process.poll()
            assert found or ended is None, f"ended with {ended} before {what}:\n{self.text}"
            return found

        return wait_until(check, what)

    def wait(self) -> int:
        """Its exit code."""
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the driver does not end:\n{self.text}") from None

    def finish(self) -> str:
        """Wait for a good end; what it printed."""
        assert self.wait() == 0, self.text
        return self.text

    def kill(self) -> None:
        """SIGKILL, to the driver alone."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: signal.Signals, *, group: bool = False) -> float:
        """Send a signal, as a terminal does to the whole group; the seconds until it has ended."""
        began = time.monotonic()
        (os.killpg if group else os.kill)(self.process.pid, number)
        self.wait()
        return time.monotonic() - began

    def workers(self) -> list[psutil.Process]:
        """The processes that train."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in family if is_worker(process)]


def is_worker(process: psutil.Process) -> bool:
    """Whether it is the actor of a trial, by the title that Ray gives it."""
    try:
        title = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return title.startswith("ray::") and "Trainable" in title


@dataclass
class Study:
    """One study: its storage, its tracker, and what the two and the ledger say."""

    storage: Path
    ray_folder: str
    uri: str = ""
    flags: list[str] = field(default_factory=list)
    cases: str = ""
    env: dict[str, str] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)  # a command that runs the driver's
    drivers: list[Driver] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.uri = self.uri or f"sqlite:///{self.storage}/mlflow.db"

    @property
    def folder(self) -> Path:
        """Ledger, spool and checkpoints."""
        return self.storage / NAME

    @property
    def journal(self) -> Path:
        """The ledger's file."""
        return self.folder / "ledger.journal"

    def command(self, *flags: str) -> list[str]:
        """The command line of a driver."""
        given = [*self.flags, *flags]
        if "--address" not in given and "--cpus" not in given:
            given += ["--cpus", "1"]
        fixed = ["--storage", str(self.storage), "--tracking-uri", self.uri]
        return [*self.prefix, sys.executable, "-m", "tests.crash.study", *fixed, *given]

    def environment(self) -> dict[str, str]:
        """Variables of a driver."""
        here = {"CRASH_CASES": self.cases, "RAY_TMPDIR": self.ray_folder, "OMP_NUM_THREADS": "1"}
        return here | {"RAY_raylet_start_wait_time_s": "180"} | self.env

    def start(self, *flags: str) -> Driver:
        """Start the study, or go on with it if there is one."""
        resume = ["--resume"] if self.journal.exists() and "--dry-run" not in flags else []
        log = self.storage.parent / f"driver-{len(self.drivers)}.log"
        driver = Driver(self.command(*flags, *resume), self.environment(), log)
        self.drivers.append(driver)
        return driver

    def lines(self) -> int:
        """Lines in the ledger so far."""
        return self.journal.read_bytes().count(b"\n") if self.journal.exists() else 0

    def trials(self) -> dict[str, Row]:
        """Search trials by key."""
        if not self.lines():
            return {}
        storage = JournalStorage(JournalFileBackend(str(self.journal)))
        found = {}
        for study in storage.get_all_studies():
            if study.study_name != NAME:
                continue
            for trial in storage.get_all_trials(study._study_id, deepcopy=False):
                attrs = trial.user_attrs
                if "config" in attrs:
                    found[f"{trial.number:04d}"] = Row(
                        attrs["status"],
                        trial.state.name,
                        attrs.get("attempt", 0),
                        attrs.get("reason", ""),
                        {
                            int(name.removeprefix(EPOCH)): metrics
                            for name, metrics in attrs.items()
                            if name.startswith(EPOCH)
                        },
                        TrialConfig.model_validate(attrs["config"]),
                    )
        return found

    def reported(self, key: str) -> int:
        """Epochs of a trial that the ledger knows."""
        row = self.trials().get(key)
        return len(row.reports) if row else 0

    def runs(self) -> dict[str, Any]:
        """MLflow's runs by trial key, "" for the parent; fails where two have one key."""
        database = Path(self.uri.removeprefix("sqlite:///"))
        if self.uri.startswith("sqlite:") and not (database.exists() and database.stat().st_size):
            return {}  # the sender has not made it yet
        client = MlflowClient(self.uri)
        experiment = client.get_experiment_by_name(NAME)
        found: dict[str, Any] = {}
        if experiment is None:
            return found
        for run in client.search_runs([experiment.experiment_id], max_results=1000):
            key = run.data.tags.get(names.TRIAL, "")
            if names.PROBE in run.data.tags:
                continue  # a driver is asking whether it may write
            assert key not in found, f"two runs of trial {key!r}"
            found[key] = run
        return found

    def points(self, key: str) -> dict[str, list[tuple[int, float]]]:
        """A trial's metric histories: (epoch, value) in the order of epochs."""
        client, run = MlflowClient(self.uri), self.runs()[key]
        return {
            name: sorted(
                (m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)
            )
            for name in run.data.metrics
        }

    def statuses(self) -> dict[str, tuple[str, str, str, str]]:
        """By trial: (ledger, Optuna, MLflow's status, MLflow's tag)."""
        runs = self.runs()
        return {
            key: (row.status, row.state, *mlflow_says(runs.get(key)))
            for key, row in self.trials().items()
        }

    def settled(self) -> bool:
        """Whether the sender of a dead driver has told MLflow all it had to tell, and ended."""
        spool = str(self.folder / "spool")
        for process in psutil.process_iter(["cmdline"]):
            if spool in (process.info["cmdline"] or []):
                return False
        return all(run.info.status != "RUNNING" for run in self.runs().values())

    def end_all(self) -> None:
        """Kill what a failed test left running."""
        for driver in self.drivers:
            if driver.process.poll() is None:
                driver.kill()


def mlflow_says(run: Any) -> tuple[str, str]:
    """(status, tag), of a run that may be missing."""
    return (run.info.status, run.data.tags[names.STATUS]) if run else ("–", "–")


def assert_whole(study: Study, trials: int) -> None:
    """All trials ended, told once: nothing lost, nothing doubled, nothing left hanging."""
    rows, runs = study.trials(), study.runs()
    assert len(rows) == trials
    assert {row.status for row in rows.values()} <= ENDED
    assert set(runs) == {"", *rows}
    for key, row in rows.items():
        assert runs[key].data.tags[names.STATUS] == row.status, key
        assert runs[key].info.status == names.MLFLOW_STATUS[row.status], key
        epochs = sorted(row.reports)
        assert epochs == list(range(1, len(epochs) + 1)), f"{key}: {epochs}"
        if row.status == "finished":
            assert len(epochs) == row.config.budget.epochs, key
        for name, points in study.points(key).items():
            steps = [step for step, _ in points]
            if name.startswith("system/"):  # an epoch that a checkpoint repeats costs nothing
                assert set(steps) <= set(epochs), f"{key}: {name}"
            else:
                assert steps == epochs, f"{key}: {name}"
        mse = study.points(key).get("val/mse", [])
        assert mse == [(epoch, row.reports[epoch]["val/mse"]) for epoch in epochs], key
    assert runs[""].info.status == "FINISHED", runs[""].data.tags


def assert_as_uninterrupted(study: Study, key: str) -> None:
    """Every figure of a trial, bit for bit what the same configuration gives in one go."""
    torch.set_num_threads(1)
    data = TrialData(*(datasets.load("digits", split) for split in ("train", "val")))
    trial = Trial(study.trials()[key].config, data)
    while not trial.done:
        trial.run_epoch()
    points = study.points(key)
    for name in trial.history[0]["metrics"]:
        if not name.startswith("time/"):
            expected = [(entry["epoch"], entry["metrics"][name]) for entry in trial.history]
            assert points[name] == expected, f"{key}: {name}"


def newest_checkpoint(study: Study, key: str) -> int:
    """The epoch of a trial's newest checkpoint, 0 if it has none."""
    found, _ = checkpoint.load_newest(study.folder / "trials" / key)
    return int(found[1]["epoch"]) if found else 0


def kill_at_a_random_moment(study: Study, driver: Driver, chance: random.Random) -> str:
    """SIGKILL: one in four while it starts, the others a few ledger lines later; what it was."""
    began = study.lines()
    if chance.random() < 0.25:
        moment = time.monotonic() + chance.uniform(0.0, 15.0)
        what = "while starting"
        driver.until(lambda: time.monotonic() > moment or study.lines() > began, what)
    else:
        more = chance.randint(1, 24)
        what = f"after {more} ledger lines"
        driver.until(lambda: study.lines() >= began + more, what)
        time.sleep(chance.uniform(0.0, 0.1))
    ended = driver.process.poll()
    driver.kill()
    return "too late" if ended is not None else what
