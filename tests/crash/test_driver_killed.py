"""SIGKILL of the driver, again and again: the study ends as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.crash.harness import (
    ENDED,
    FULL,
    Study,
    assert_as_uninterrupted,
    assert_whole,
    kill_at_a_random_moment,
    newest_checkpoint,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

KILLS, TRIALS = (20, 24) if FULL else (2, 4)


def test_a_driver_killed_at_random_moments_loses_and_doubles_nothing(
    make_study: Callable[..., Study],
) -> None:
    study = make_study("--trials", str(TRIALS), "--sampler", "random")
    chance, ended = random.Random(0), {}
    for number in range(KILLS):
        moment = kill_at_a_random_moment(study, study.start(), chance)
        print(f"kill {number + 1}: {moment}, {study.lines()} ledger lines")
        assert moment != "too late", "the study ended before it could be killed: more trials"
        wait_until(study.settled, "the sender of the killed driver has told MLflow")
        for key, row in study.trials().items():
            if row.status in ENDED:
                assert ended.setdefault(key, row) == row, "a finished trial was touched again"
            elif row.reports:
                assert newest_checkpoint(study, key) >= max(row.reports), "trained twice"
    study.start().finish()
    assert_whole(study, TRIALS)
    for key, row in study.trials().items():
        assert ended.get(key, row) == row, "a finished trial was run again"
    resumed = [k for k, r in study.trials().items() if r.attempt > 1 and r.status == "finished"]
    print(f"{len(resumed)} trials were resumed: {resumed}")
    for key in resumed:
        assert_as_uninterrupted(study, key)
