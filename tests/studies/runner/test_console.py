"""The runner's own view of a study: the shared facts, from the ledger."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studies.denoise_sweep import STUDY
from studies.ledger.ledger import Ledger
from studies.runner import console as consoles
from studies.runner.console import Console
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes when the test says so."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(consoles.time, "monotonic", lambda: clock.now)
    return clock


def opened(tmp_path: Path, **settings: Any) -> tuple[Console, Ledger, Plan, list[str]]:
    """A console that watches a study's ledger, and the lines that it says."""
    given = {"trials": 2, "epochs": 4, "study": "konsol"} | settings
    plan = make_plan(STUDY, Settings(**given))
    ledger = Ledger(tmp_path, plan.name)
    ledger.create(plan.goal, {})
    console = Console(plan)
    lines: list[str] = []
    console.say = lines.append  # type: ignore[method-assign]
    console.watch(ledger)
    return console, ledger, plan, lines


def begin(ledger: Ledger, plan: Plan, seed: int) -> Any:
    config = plan.reference.model_copy(update={"seed": seed})
    trial = ledger.plan("search", config, like=None, reference=seed == 0)
    ledger.start(trial)
    return trial


def test_facts_come_from_the_ledger(tmp_path: Path, clock: SimpleNamespace) -> None:
    console, ledger, plan, lines = opened(tmp_path)
    first, _ = begin(ledger, plan, 0), begin(ledger, plan, 1)
    for epoch in range(1, 5):
        ledger.report(first, epoch, {"val/mse": 0.5 / epoch})
    console.tick()
    clock.now += 72
    ledger.end(first, "finished", values=[0.125], reason="")
    console.tick()
    # CPU-hours: one trial still runs, 72 s of one core since the last tick
    assert lines[-1] == (
        "finished 1, running 1, pruned 0, failed 0, best val/mse 0.125, reference 0.125, "
        "epochs/s 0.06, elapsed 1:12, left about 1:12, CPU-hours 0.02"
    )
    ledger.close()


def test_cpus_count_per_trial_and_thread_gpus_once(tmp_path: Path, clock: SimpleNamespace) -> None:
    for name, settings, hours in (
        ("cpu", {"threads": 2}, "CPU-hours 4.00"),  # two trials of two threads for an hour
        ("gpu", {"gpus": 1}, "GPU-hours 1.00"),  # two trials that share a GPU
    ):
        console, ledger, plan, lines = opened(tmp_path / name, **settings)
        begin(ledger, plan, 0), begin(ledger, plan, 1)
        console.tick()
        for _ in range(60):
            clock.now += 60
            console.tick()
        assert lines[-1].endswith(hours)
        ledger.close()


def test_the_farewell_tells_how_to_go_on(tmp_path: Path, clock: SimpleNamespace) -> None:
    console, ledger, plan, lines = opened(tmp_path)
    trial = begin(ledger, plan, 0)
    ledger.end(trial, "finished", values=[0.125], reason="")
    console.farewell("finished", "postgresql://ada:s3cret@db/mlflow", "", ledger, "7")
    text = "\n".join(lines)
    assert "best trial: 0000 with val/mse 0.125" in text
    assert "python -m analysis.publish --study konsol" in text
    assert f"optuna-dashboard {tmp_path}/ledger.journal" in text
    assert "/#/experiments/7/runs?workflowType=machine_learning&orderByKey=metrics" in text
    assert "s3cret" not in text
    ledger.close()
