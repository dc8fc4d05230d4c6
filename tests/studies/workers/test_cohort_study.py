"""A whole study by cohorts, through Ray, on CPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from studies.ledger.ledger import Ledger
from tests.vae_trainables.cohort.support import comparable
from vae_trainables import datasets
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.trial import Trial

ROOT = Path(__file__).parents[3]
FLAGS = [
    *("--dataset", "digits", "--trials", "8", "--epochs", "3", "--cpus", "2"),
    *("--slots-per-gpu", "3", "--set", "kind=mlp_vae", "--scheduler", "none"),
]


@pytest.mark.slow
@pytest.mark.alone
def test_two_workers_train_all_trials_of_a_study_in_lock_step(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "studies.denoise_sweep", *FLAGS, "--storage", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = Ledger(tmp_path / "denoise_sweep", "denoise_sweep").trials
    assert {trial.status for trial in trials.values()} == {"finished"}
    assert len(trials) == 8
    last = trials["0007"]
    splits = datasets.load_splits("digits", ("train", "val"))
    alone = Trial(last.config, TrialData(splits["train"], splits["val"]))
    for _ in range(3):
        alone.run_epoch()
    expected = comparable(alone.history[-1]["metrics"])["val/mse"]
    assert last.curve("val/mse")[3] == pytest.approx(expected, rel=1e-4)
