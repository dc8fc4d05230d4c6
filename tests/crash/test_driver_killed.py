"""SIGKILL of the driver, again and again: the study ends as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.harness import (
    ENDED,
    FULL,
    Row,
    Study,
    assert_as_uninterrupted,
    assert_whole,
    full_form,
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


POPULATION = ("--scheduler", "pbt", "--trials", "6", "--grace", "2")
BRACKETS = ("--scheduler", "hyperband", "--trials", "12", "--sampler", "tpe")


@full_form
@pytest.mark.parametrize("flags", [POPULATION, BRACKETS])
def test_a_killed_study_is_the_one_that_nobody_interrupted(
    flags: tuple[str, ...], make_study: Callable[..., Study], tmp_path: Path
) -> None:
    """All of it: who was suggested, who ended when, whose weights went on, and every figure.

    One worker trains Hyperband's trials in an order that is no chance; of a population no order
    matters.
    """
    study, calm = make_study(*flags), make_study(*flags)
    calm = replace(calm, storage=tmp_path / "calm", uri="")
    calm.storage.mkdir()
    calm.start(*(("--cpus", "2") if flags == POPULATION else ())).finish()
    chance = random.Random(1)
    for _ in range(6):
        driver, goal = study.start(), study.lines() + chance.randint(20, 60)
        driver.until(lambda goal=goal: study.lines() > goal, "some more lines")
        driver.kill()
        wait_until(study.settled, "the sender of the killed driver has told MLflow")
    study.start().finish()
    rows = study.trials()
    assert {key: happened(row) for key, row in rows.items()} == {
        key: happened(row) for key, row in calm.trials().items()
    }
    assert_whole(study, len(rows))
    heirs = [key for key, row in rows.items() if row.config.lineage and row.status == "finished"]
    assert flags != POPULATION or heirs
    for key in heirs:
        assert_as_uninterrupted(study, key)  # its lineage, from the first epoch on


def happened(row: Row) -> Row:
    """All but how often it was begun."""
    return replace(row, attempt=0, reason="")
