"""However a trial ends, ledger, Optuna and MLflow say the same: the table, cell by cell."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.crash.harness import Study, assert_whole, full_form, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

FINISHED = ("finished", "COMPLETE", "FINISHED", "finished")
PRUNED = ("pruned", "PRUNED", "FINISHED", "pruned")
DIVERGED = ("diverged", "FAIL", "FAILED", "diverged")
FAILED = ("failed", "FAIL", "FAILED", "failed")
OUT_OF_MEMORY = ("out_of_memory", "FAIL", "FAILED", "out_of_memory")
INTERRUPTED = ("interrupted", "WAITING", "KILLED", "interrupted")
DRIVER_KILLED = ("running", "RUNNING", "KILLED", "interrupted")  # until the next start

ENDINGS = {
    "plain": (FINISHED, ""),
    "hopeless": (PRUNED, "behind the others at epoch 1"),
    "diverging": (DIVERGED, "training loss is nan in epoch 1"),
    "raising": (FAILED, "ValueError: the evaluation 'frechet' needs a feature net"),
    "too big": (OUT_OF_MEMORY, "allocate memory"),
    "silent": (FAILED, "the metric val/probe was left out"),
}


@full_form
def test_every_end_of_a_trial_is_the_same_in_ledger_optuna_and_mlflow(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(
        *("--objective", "probe", "--trial-memory-gb", "6", "--max-failures", "9"),
        cases=",".join([*ENDINGS, "endless"]),
    )
    study.start("--trials", str(len(ENDINGS))).finish()
    found, trials = study.statuses(), study.trials()
    for key, (case, (statuses, reason)) in zip(sorted(found), ENDINGS.items(), strict=True):
        assert found[key] == statuses, case
        assert reason in trials[key].reason, case
        assert trials[key].reason == study.runs()[key].data.tags["vae.reason"], case
    assert trials["0001"].reports.keys() == {1}
    assert_whole(study, len(ENDINGS))
    _interruptions(study, str(len(ENDINGS) + 1), f"{len(ENDINGS):04d}")


def _interruptions(study: Study, trials: str, key: str) -> None:
    """The same trial is stopped by its driver's death, by the time budget, by the user."""
    driver = study.start("--trials", trials)
    driver.until(lambda: study.reported(key) >= 2, "two epochs")
    driver.kill()
    wait_until(study.settled, "the sender tells MLflow that the driver is gone")
    assert study.statuses()[key] == DRIVER_KILLED
    assert study.runs()[key].data.tags["vae.reason"] == "the driver was killed"

    for budget in (10, 60, 240):  # a busy machine may need some time before anything runs
        driver, before = study.start("--trials", trials, "--time-budget", str(budget)), key
        assert driver.wait() == 1, driver.text
        assert "the time budget" in driver.text
        assert study.statuses()[before] in (INTERRUPTED, ("interrupted", *INTERRUPTED[1:]))
        if study.trials()[key].reason.startswith("the time budget"):
            break
    assert study.trials()[key].reason == f"the time budget of {budget} s is used up"

    driver, before_epochs = study.start("--trials", trials), study.reported(key)
    driver.until(lambda: study.reported(key) > before_epochs, "another epoch")
    driver.stop(signal.SIGTERM)
    assert study.statuses()[key] == INTERRUPTED
    assert study.trials()[key].reason == "stopped by SIGTERM"


@full_form
def test_failures_in_a_row_end_the_study_with_a_clear_message(
    make_study: Callable[..., Study],
) -> None:
    cases = "plain,raising,raising,plain"
    study = make_study("--trials", "4", "--max-failures", "2", cases=cases)
    driver = study.start()
    assert driver.wait() == 1, driver.text
    assert "stopped:    2 trials in a row failed: see their reasons" in driver.text
    assert [study.statuses()[key][0] for key in ("0000", "0001", "0002")] == [
        "finished",
        "failed",
        "failed",
    ]
    study.start().finish()
    assert_whole(study, 4)
