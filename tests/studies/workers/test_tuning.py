"""Tune as the runner uses it: what of Tune is replaced, and for how long."""

from __future__ import annotations

import gc
import inspect
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray import tune

from benchmarks.runner_overhead import Office, Simulated
from studies.workers import tuning
from studies.workers.replacing import replaced

ROOT = Path(__file__).parents[3]


class Where(tune.Trainable):  # type: ignore[misc]
    def step(self) -> dict[str, object]:
        return {"pid": os.getpid(), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass

    def load_checkpoint(self, checkpoint: object) -> None:
        pass


def idle_workers() -> set[int]:
    children = psutil.Process().children(recursive=True)
    return {child.pid for child in children if child.name().startswith("ray::IDLE")}


@pytest.mark.slow
def test_trials_begin_in_workers_that_wait_already(tmp_path: Path) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        deadline = time.monotonic() + 60
        while len(waiting := idle_workers()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        with replaced(tuning.WAITING):
            run = tune.RunConfig(storage_path=str(tmp_path), verbose=0)
            results = tune.Tuner(Where, run_config=run).fit()
        assert results[0].metrics["pid"] in waiting
    finally:
        ray.shutdown()


class SecondStartsLate(Simulated):
    """Short trials; whichever worker is not the first to start takes seconds for it."""

    def setup(self, config: dict[str, Any], starts: Path) -> None:
        first = not any(starts.iterdir())
        (starts / str(os.getpid())).touch()
        if not first:
            time.sleep(3)
        super().setup(config)

    def step(self) -> dict[str, Any]:
        time.sleep(0.1)
        return super().step()


@pytest.mark.slow
def test_a_worker_that_starts_is_waited_for(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    starts.mkdir()
    office = Office(tmp_path, trials=60, reports=1)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        tuning.run(
            office.desk,
            SecondStartsLate,
            parameters={"starts": starts},
            resources={"cpu": 1},
            concurrent=2,
        )
        assert {t.status for t in office.ledger.trials.values()} == {"finished"}
        assert len(list(starts.iterdir())) == 2
    finally:
        ray.shutdown()
        office.close()


def test_the_collector_of_a_notebooks_process_is_left_as_it_was() -> None:
    before = gc.get_threshold()
    meanwhile = []

    def fails() -> None:
        with tuning.rare_collections():
            meanwhile.append((gc.get_threshold(), gc.get_freeze_count() > 0))
            raise RuntimeError("a trial")

    with pytest.raises(RuntimeError, match="a trial"):
        fails()
    assert meanwhile == [(tuning.RARE, True)]
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_tune_imports_no_tracker_to_count_callbacks() -> None:
    assert "usage.tag_callbacks(" in inspect.getsource(sys.modules["ray.tune.tune"])
    code = (
        "import sys\n"
        "from studies.workers import replacing, tuning\n"
        "from ray.air._internal import usage\n"
        "with replacing.replaced(tuning.UNCOUNTED):\n"
        "    usage.tag_callbacks([object()])\n"
        "print([m for m in ('mlflow', 'wandb') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_flags_are_checked_without_torch_and_tune() -> None:
    code = (
        "import sys, studies.runner.driver\n"
        "print('torch' in sys.modules, 'ray.tune' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == ["False", "False"]
