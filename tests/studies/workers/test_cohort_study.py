"""A whole study by cohorts, through Ray, on CPUs: a population, whose weights travel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.report.sections import lineage
from analysis.tracker import results
from analysis.tracker.client import Tracker
from studies.ledger.ledger import Ledger
from tests.vae_trainables.cohort.support import comparable
from vae_trainables import datasets
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.trial import Trial

ROOT = Path(__file__).parents[3]
FLAGS = [
    *("--dataset", "digits", "--trials", "8", "--epochs", "3", "--cpus", "2"),
    *("--slots-per-gpu", "3", "--set", "kind=mlp_vae"),
    *("--scheduler", "pbt", "--grace", "1"),
]


@pytest.mark.slow
@pytest.mark.alone
def test_two_workers_train_a_population_in_lock_step(tmp_path: Path) -> None:
    """Heirs too, from their parents' checkpoints, and what they did stands in the report."""
    command = [sys.executable, "-m", "studies.denoise_sweep", *FLAGS, "--storage", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = Ledger(tmp_path / "denoise_sweep", "denoise_sweep").trials
    assert {trial.status for trial in trials.values()} == {"finished", "pruned"}
    assert [trial.suggested for trial in trials.values()].count(True) == 8
    assert sum(trial.trained for trial in trials.values()) == 8 * 3, "each epoch once"
    last = next(t for t in trials.values() if t.parent and t.status == "finished")
    splits = datasets.load_splits("digits", ("train", "val"))
    alone = Trial(last.config, TrialData(splits["train"], splits["val"]))
    for _ in range(3):
        alone.run_epoch()
    expected = comparable(alone.history[-1]["metrics"])["val/mse"]
    assert last.curve("val/mse")[3] == pytest.approx(expected, rel=1e-4)
    found = results.collect("denoise_sweep", Tracker(f"sqlite:///{tmp_path}/mlflow.db"))
    rows = found.search.set_index("trial")
    for key, trial in trials.items():
        row = rows.loc[key]
        assert (row["parent"], row["instead_of"]) == (trial.parent, trial.instead_of)
        assert (row["epochs"], row["trained"]) == (len(trial.reports), trial.trained)
    line = lineage.ancestors(found.search, last.key)
    told = lineage.stretches(rows.loc[last.key], line).frame
    assert list(told["trial"]) == line
    assert list(told["lr"]) == [config.optimiser.lr for _, config in last.config.stretches]
    assert lineage.section(found) is not None
