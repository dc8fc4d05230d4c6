"""Ctrl-C and SIGTERM: everything is closed within ten seconds, and the way on is told."""

from __future__ import annotations

import signal
from collections.abc import Callable

import psutil
import pytest

from tests.crash.harness import (
    EXIT_S,
    FULL,
    Driver,
    Study,
    allowed,
    assert_whole,
    full_form,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SIGNALS = [
    (signal.SIGINT, True, 130, "stopped by the user (Ctrl-C)"),
    (signal.SIGTERM, False, 143, "stopped by SIGTERM"),
]
STOPPED = ("interrupted", "WAITING", "KILLED", "interrupted")


@full_form
def test_a_stopped_study_is_closed_quickly_and_goes_on(make_study: Callable[..., Study]) -> None:
    study = make_study("--trials", "2", cases="long,long")
    for number, group, code, reason in SIGNALS:
        driver, before = study.start(), study.reported("0000")
        driver.until(lambda before=before: study.reported("0000") > before + 1, "epochs")
        seconds, limit = driver.stop(number, group=group), allowed(EXIT_S)
        print(f"{number.name}: the driver ended after {seconds:.1f} s (allowed {limit:.1f} s)")
        assert seconds < limit
        assert driver.process.returncode == code, driver.text
        assert f"stopped:    {reason}" in driver.text
        assert "resume:     python -m studies.run tests/crash/study.py" in driver.text
        assert "could not be delivered" not in driver.text
        assert study.statuses()["0000"] == STOPPED
        assert study.trials()["0000"].reason == reason
        assert study.runs()[""].info.status == "KILLED"
    study.start().finish()
    assert_whole(study, 2)


def checking(driver: Driver, study: Study) -> bool:
    """The checks at the start have begun."""
    return (study.storage / "mlflow.db").exists()


def ray_starting(driver: Driver, study: Study) -> bool:
    """Ray has its first processes and is not whole yet."""
    return any("gcs_server" in p.name() for p in psutil.Process(driver.process.pid).children())


STARTS = [(moment, *s[:3]) for moment in (checking, ray_starting) for s in SIGNALS]


@pytest.mark.parametrize(
    ("moment", "number", "group", "code"), STARTS if FULL else (STARTS[0], STARTS[-1])
)
def test_a_signal_at_the_start_leaves_nothing(
    make_study: Callable[..., Study],
    moment: Callable[[Driver, Study], bool],
    number: signal.Signals,
    group: bool,
    code: int,
) -> None:
    study = make_study("--trials", "2")
    driver = study.start()
    driver.until(lambda: moment(driver, study), moment.__doc__ or "")
    children = psutil.Process(driver.process.pid).children(recursive=True)
    seconds = driver.stop(number, group=group)
    print(f"{number.name}, {moment.__name__}: {seconds:.1f} s")
    assert seconds < allowed(EXIT_S)
    assert driver.process.returncode == code, driver.text
    assert "nothing was started" in driver.text
    assert not study.journal.exists()
    assert not psutil.wait_procs(children, timeout=10)[1]


@full_form
def test_a_second_ctrl_c_does_not_break_the_goodbye(make_study: Callable[..., Study]) -> None:
    study = make_study("--trials", "1", cases="endless")
    driver = study.start()
    driver.until(lambda: study.reported("0000") > 1, "two epochs")
    for _ in range(3):
        driver.process.send_signal(signal.SIGINT)
    wait_until(lambda: driver.process.poll() is not None, "the end")
    assert driver.process.returncode == 130, driver.text
    assert "resume:" in driver.text
    assert study.statuses()["0000"] == STOPPED
