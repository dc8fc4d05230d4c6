"""A whole study where batch systems, containers and notebooks run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.harness import ROOT

IN_A_THREAD = """
import sys, threading
from studies.errors import StudyError
from studies.runner.driver import run_study
from studies.runner.interrupts import listening
from studies.runner.settings import Settings
from tests.crash.study import STUDY

def work():
    with listening() as stop:
        settings = Settings(trials=2, epochs=1, cpus=64, storage=Path(sys.argv[1]))
        codes.append(run_study(STUDY, settings, stop))

from pathlib import Path
codes = []
thread = threading.Thread(target=work)
thread.start()
thread.join()
sys.exit(codes[0] if codes else 70)
"""


@pytest.mark.slow
def test_a_notebooks_thread_a_home_of_nobody_and_a_long_tmpdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_TMPDIR", "RAY_ADDRESS", "CRASH_CASES", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "180")
    done = subprocess.run(
        [sys.executable, "-c", IN_A_THREAD, str(tmp_path / "runs")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 workers, not 64" in done.stdout or "1 worker, not 64" in done.stdout
    assert "TMPDIR has " in done.stdout
    assert "finished 2" in done.stdout
