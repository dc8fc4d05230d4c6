"""Every study × every set of its objectives × every sampler × every scheduler.

    python -m tests.studies.search.product [--seeds 5] [--trials 60] [--samplers tpe,gp]

runs the whole product on simulated curves and prints, for each sampler and scheduler, how many
studies ended with right counts and how the median of their best compares with random search's.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import logging
import statistics
import tempfile
import time
import typing
import warnings
from collections.abc import Iterator
from pathlib import Path

import optuna

import studies
from studies.definition import StudyDefinition
from studies.ledger.journal import Journal
from studies.runner.settings import Sampler, Scheduler, Settings
from tests.studies.search.simulated import Simulation, best, check_counts

SAMPLERS: tuple[Sampler, ...] = typing.get_args(Sampler)
SCHEDULERS: tuple[Scheduler, ...] = typing.get_args(Scheduler)
EPOCHS = 9
TRIALS = 60


def definitions() -> dict[str, StudyDefinition]:
    """Every study of the package."""
    names = sorted(path.stem for path in Path(studies.__path__[0]).glob("[a-z]*.py"))
    modules = {name: importlib.import_module(f"studies.{name}") for name in names}
    return {name: module.STUDY for name, module in modules.items() if hasattr(module, "STUDY")}


def objective_sets(definition: StudyDefinition) -> list[str]:
    """Each objective alone, each ordered pair, all; as `--objective` takes them."""
    names = list(definition.objectives)
    sets = [(name,) for name in names] + list(itertools.permutations(names, 2))
    return [",".join(names) for names in dict.fromkeys([*sets, tuple(names)])]


def questions() -> Iterator[tuple[StudyDefinition, str]]:
    """Every study with every set of its objectives."""
    for definition in definitions().values():
        for objective in objective_sets(definition):
            yield definition, objective


def ended(definition: StudyDefinition, settings: Settings) -> Simulation:
    """A study that came to its end with right counts."""
    with tempfile.TemporaryDirectory() as scratch:
        simulation = Simulation(definition, settings, Path(scratch) / "study")
        simulation.ledger = simulation.run()
        check_counts(simulation, simulation.ledger)
    return simulation


def medians(definition: StudyDefinition, settings: Settings, seeds: int) -> float:
    """The median, over searches with different seeds, of the best that each came to."""
    runs = [
        ended(definition, Settings(**vars(settings) | {"seed": 100 * seed}))
        for seed in range(seeds)
    ]
    return statistics.median(best(run, run.ledger) for run in runs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    given = parser.parse_args()
    Journal.commit = lambda _: None  # type: ignore[assignment,method-assign]  # no crash
    warnings.simplefilter("ignore")
    logging.getLogger("optuna").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    random: dict[tuple[str, str, Scheduler], float] = {}
    print("| sampler | scheduler | studies | ended | better than random | equal | worse | s |")
    print("|---|---|---|---|---|---|---|---|")
    asked = given.samplers.split(",")
    samplers = [name for name in SAMPLERS if name == "random" or name in asked]
    samplers.sort(key=lambda name: name != "random")
    for sampler, scheduler in itertools.product(samplers, SCHEDULERS):
        began = time.process_time()
        figures: dict[tuple[str, str, Scheduler], float] = {}
        for definition, objective in questions():
            settings = Settings(
                trials=given.trials,
                epochs=EPOCHS,
                objective=objective,
                sampler=sampler,
                scheduler=scheduler,
            )
            key = (definition.kind, objective, scheduler)
            figures[key] = medians(definition, settings, given.seeds)
        if sampler == "random":
            random |= figures
        signs = [(figures[key] > random[key]) - (figures[key] < random[key]) for key in figures]
        worse = [
            f"{' '.join(key[:2])} {figures[key]:.4f} > {random[key]:.4f}"
            for key in figures
            if figures[key] > random[key]
        ]
        counts = " | ".join(str(signs.count(sign)) for sign in (-1, 0, 1))
        seconds = time.process_time() - began
        print(f"| {sampler} | {scheduler} | {len(figures)} | all | {counts} | {seconds:.0f} |")
        print("".join(f"{line}\n" for line in worse), end="", flush=True)


if __name__ == "__main__":
    main()
