"""A search keeps its budget, whatever scheduler, seeds, ends of trials and deaths of the driver."""

from __future__ import annotations

import itertools
import typing
from pathlib import Path

import pytest

from studies.denoise_sweep import STUDY
from studies.ledger.ledger import ENDED, Ledger
from studies.runner.planning import make_plan
from studies.runner.settings import Scheduler, Settings
from studies.runner.spending import FACT, Spending
from tests.studies.search.simulated import CALM, WORKERS, Fate, Simulation, check_counts

EPOCHS = 9
SCHEDULERS = [name for name in typing.get_args(Scheduler) if name != "pbt"]  # it takes no budget
FATES = {"calm": CALM, "rough": Fate()}
PRODUCT = [
    *itertools.product(SCHEDULERS, (1, 3), ["rough"]),
    ("asha", 1, "calm"),
    ("none", 3, "calm"),
]


def searched(folder: Path, scheduler: str, seeds: int, fate: str, **flags: object) -> Simulation:
    settings = Settings(
        sampler="random",
        scheduler=scheduler,  # type: ignore[arg-type]
        seeds=seeds,
        epochs=EPOCHS,
        **flags,  # type: ignore[arg-type]
    )
    simulation = Simulation(STUDY, settings, folder / "study", FATES[fate], check_resumed=False)
    simulation.ledger = simulation.run()
    check_counts(simulation, simulation.ledger)
    assert all(trial.status in ENDED for trial in simulation.ledger.trials.values())
    return simulation


@pytest.mark.parametrize(("scheduler", "seeds", "fate"), PRODUCT)
def test_a_budget_of_epochs_is_kept_and_used_up_to_what_is_less_than_a_trial(
    tmp_path: Path, scheduler: str, seeds: int, fate: str
) -> None:
    budget = 150
    study = searched(tmp_path, scheduler, seeds, fate, budget=f"{budget}epochs")
    trained = sum(len(trial.reports) for trial in study.ledger.trials.values())
    assert budget - EPOCHS * seeds < trained <= budget
    assert trained == study.spending.committed() == study.spending.trained()


@pytest.mark.parametrize(("scheduler", "seeds", "fate"), PRODUCT)
def test_a_budget_of_time_counts_what_drivers_ran_and_ends_with_what_was_begun(
    tmp_path: Path, scheduler: str, seeds: int, fate: str
) -> None:
    budget = 60.0
    study = searched(tmp_path, scheduler, seeds, fate, budget=f"{budget:.0f}s")
    ran = study.clock - 86_400 * study.happened["resumed"]
    unwritten = 6 * study.happened["resumed"]  # seconds that died with a driver
    assert study.spending.seconds == pytest.approx(ran, abs=unwritten + 1e-3)
    whole = EPOCHS * (1 + WORKERS * (seeds - 1) / WORKERS)
    repeated = 1.0 + study.happened["repeated"] + study.happened["lost"]
    assert budget - 2 * EPOCHS - repeated < study.spending.seconds
    assert study.spending.seconds < budget + whole + repeated


def test_a_number_of_trials_beside_a_budget_ends_the_search_where_it_is_less(
    tmp_path: Path,
) -> None:
    study = searched(tmp_path, "none", 1, "calm", budget="150epochs", trials=5)
    assert len(study.ledger.trials) == 5


def test_a_larger_budget_extends_a_search_that_was_through(tmp_path: Path) -> None:
    searched(tmp_path, "asha", 1, "calm", budget="100epochs")
    study = searched(tmp_path, "asha", 1, "calm", budget="200epochs")
    trained = sum(len(trial.reports) for trial in study.ledger.trials.values())
    assert 200 - EPOCHS < trained <= 200


def test_what_a_search_that_is_stopped_has_taken_is_written_to_the_last_second(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path, "stopped")
    ledger.create(make_plan(STUDY, Settings()).goal, {})
    spending = Spending(ledger, epochs=EPOCHS, seeds=1, now=0.0)
    spending.tick(4.0)
    assert FACT not in ledger.facts(), "not every second is worth a line"
    spending.write()
    lines = (tmp_path / "ledger.journal").read_bytes()
    spending.write()
    assert (tmp_path / "ledger.journal").read_bytes() == lines
    ledger.close()
    again = Ledger(tmp_path, "stopped")
    assert Spending(again, epochs=EPOCHS, seeds=1).seconds == 4.0
    again.close()
