"""The study that the documentation shows works as it stands there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "my_first_study.py"


def run_study(tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """`python -m studies.my_first_study`, with the file copied to where a user puts it."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "studies", checkout / "studies")
    shutil.copytree(ROOT / "vae_trainables", checkout / "vae_trainables")
    shutil.copy(EXAMPLE, checkout / "studies")
    env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}  # others may set it
    return subprocess.run(
        [sys.executable, "-m", "studies.my_first_study", "--cpus", "1", *flags],
        capture_output=True,
        text=True,
        cwd=checkout,
        env=env | {"OMP_NUM_THREADS": "1"},
        check=False,
    )


def test_the_documented_study_is_about_forty_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 50


@pytest.mark.alone  # starts Ray, as the next one does
@pytest.mark.slow
def test_the_documented_study_starts_nothing_on_a_dry_run(tmp_path: Path) -> None:
    done = run_study(tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "dry run" in done.stdout
    assert not (tmp_path / "checkout" / "runs" / "my_first_study").exists()


@pytest.mark.alone
@pytest.mark.slow
def test_the_documented_study_finishes_two_trials(tmp_path: Path) -> None:
    done = run_study(tmp_path, "--trials", "2", "--epochs", "1", "--scheduler", "none")
    assert done.returncode == 0, done.stderr
    assert "finished 2" in done.stdout, done.stdout
    assert (tmp_path / "checkout" / "runs" / "mlflow.db").exists()
