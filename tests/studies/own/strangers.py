"""A user's folder outside of the checkout, and the commands that are typed in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


def environment(home: Path) -> dict[str, str]:
    """As of a fresh shell; a tracker that another test has set is not heard."""
    kept = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    own = {"PYTHONPATH": str(ROOT), "HOME": str(home), "VAE_STUDIES_CACHE": str(home / "cache")}
    return kept | own | {"OMP_NUM_THREADS": "1"}


def call(home: Path, *arguments: str, code: int = 0) -> str:
    """Run python there; what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def kill_while_it_trains(home: Path, study: str, *arguments: str) -> None:
    """Start python there; SIGKILL the whole group once a trial has left a checkpoint."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=home,
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as driver:
        deadline = time.monotonic() + 300
        while not list(home.glob(f"runs/{study}/trials/*/*.safetensors")):
            assert driver.poll() is None, "the study ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(driver.pid, signal.SIGKILL)
