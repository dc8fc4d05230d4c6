"""How a command ends: its exit code, its output, what was registered for the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ENDING = """
import atexit
from studies.runner.cli import leave
atexit.register(print, "registered")
print("printed", flush=False)
leave({code})
"""


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_the_end_flushes_and_runs_what_was_registered(code: int) -> None:
    command = [sys.executable, "-c", ENDING.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "printed\nregistered\n", "")


def test_a_reader_that_has_gone_does_not_change_the_exit_code() -> None:
    command = [sys.executable, "-c", ENDING.format(code=0)]
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=buffered,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("name", "start", "named"),
    [
        ("mine.py", ["-m", "sub.mine"], "sub/mine.py"),
        ("my own.py", ["sub/my own.py"], "'sub/my own.py'"),
    ],
)
def test_a_file_is_named_as_it_can_be_started_again_from_here(
    tmp_path: Path, name: str, start: list[str], named: str
) -> None:
    """A module's whole path may be that of a job's code, which ends with the job."""
    (tmp_path / "sub").mkdir()
    shutil.copy(ROOT / "docs/examples/my_first_study.py", tmp_path / "sub" / name)
    env = os.environ | {"COLUMNS": "300", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *start, "--help"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=env, check=True
    )
    assert f"Usage: python -m studies.run {named} [OPTIONS]" in done.stdout
