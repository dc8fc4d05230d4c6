"""SIGKILL of the process that trains: the trial goes on, up to a limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.harness import Driver, Study, assert_as_uninterrupted, assert_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def kill_worker(study: Study, driver: Driver, key: str) -> None:
    """Let the trial report two more epochs, then kill the process that trains it."""
    before = study.reported(key)
    driver.until(lambda: study.reported(key) >= before + 2, f"two epochs of {key}")
    (worker,) = driver.workers()
    worker.kill()
    worker.wait()


def test_a_killed_worker_costs_an_attempt_and_one_too_many_the_trial(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(
        "--trials", "3", "--worker-retries", "1", "--scheduler", "none", cases="long,endless,plain"
    )
    driver = study.start()
    kill_worker(study, driver, "0000")
    kill_worker(study, driver, "0001")
    kill_worker(study, driver, "0001")
    text = driver.finish()
    assert "it goes on from its newest checkpoint" in text
    assert study.statuses() == {
        "0000": ("finished", "COMPLETE", "FINISHED", "finished"),
        "0001": ("worker_lost", "FAIL", "FAILED", "worker_lost"),
        "0002": ("finished", "COMPLETE", "FINISHED", "finished"),
    }
    trials = study.trials()
    assert [trials[key].attempt for key in sorted(trials)] == [2, 2, 1]
    assert "the worker process died" in trials["0001"].reason
    assert_whole(study, 3)
    assert_as_uninterrupted(study, "0000")
