"""`mlflow server` dies in mid-study, or for good: training goes on, and nothing is lost."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from tests.crash.harness import ROOT, Study, assert_whole, full_form
from tests.crash.servers import MlflowServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

OUTAGE_S = 60.0
BOUNDED_S = 120.0  # to give up on a dead tracker at the end of a finished study


@full_form
def test_an_outage_in_mid_study_loses_and_doubles_no_point(
    make_study: Callable[..., Study], server: MlflowServer
) -> None:
    study = make_study(
        "--scheduler", "none", "--trials", "3", uri=server.uri, cases="outlasting,plain"
    )
    driver = study.start()
    driver.until(lambda: study.reported("0000") >= 2, "two epochs")
    server.kill()
    began, epochs = time.monotonic(), study.reported("0000")
    driver.until(lambda: time.monotonic() > began + OUTAGE_S, "the outage is over")
    driver.until(lambda: study.reported("0000") > epochs, "training goes on without a tracker")
    server.start()
    text = driver.finish()
    assert "could not be delivered" not in text
    assert_whole(study, 3)

    dead = study.start("--trials", "4")
    dead.until(lambda: study.reported("0003") >= 1, "an epoch of a further trial")
    server.kill()
    dead.until(lambda: study.trials()["0003"].status == "finished", "its end")
    began = time.monotonic()
    assert dead.wait() == 3, dead.text
    text = dead.text
    print(f"without a tracker the driver ended {time.monotonic() - began:.0f} s after its trials")
    assert time.monotonic() - began < BOUNDED_S
    (told,) = [line for line in text.splitlines() if line.startswith("tracker:")]
    assert "could not be delivered" in told
    server.start()
    command = shlex.split(told.partition("send them with ")[2])
    assert command[:3] == ["python", "-m", "studies.tracker.sender"]
    done = subprocess.run(
        [sys.executable, *command[1:]],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert_whole(study, 4)


@full_form
def test_a_sender_that_is_killed_gets_a_successor(make_study: Callable[..., Study]) -> None:
    study = make_study("--scheduler", "none", "--trials", "3", cases="long")
    driver = study.start()
    driver.until(lambda: study.reported("0000") >= 2, "two epochs")
    for sender in senders(study):
        sender.kill()
    driver.finish()
    assert_whole(study, 3)


def senders(study: Study) -> list[psutil.Process]:
    """The processes that deliver this study's spool."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "studies.tracker.sender" in (line := " ".join(process.info["cmdline"] or []))
        and str(study.folder) in line
    ]
