"""Every study × its spaces × every set of its objectives × every sampler × every scheduler.

    python -m tests.studies.search.product [--seeds 20] [--trials 60] [--samplers tpe,gp]
        [--spaces default,wide]

runs the whole product on simulated curves and prints, for each sampler and scheduler, how many
studies ended with right counts and in how many the median of their best is better than random
search's; and by name each that is shown to be worse (`comparison.py`).
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import logging
import tempfile
import time
import typing
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna

import studies
from studies.definition import StudyDefinition
from studies.ledger.journal import Journal
from studies.runner.settings import Sampler, Scheduler, Settings
from tests.studies.search import comparison
from tests.studies.search.simulated import Simulation, best, check_counts

SAMPLERS: tuple[Sampler, ...] = typing.get_args(Sampler)
SCHEDULERS: tuple[Scheduler, ...] = typing.get_args(Scheduler)
EPOCHS = 9
TRIALS = 60
Answers = dict[tuple[str, str, str, str], list[float]]  # by scheduler, study, space, objectives


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


def questions() -> Iterator[tuple[StudyDefinition, str, str]]:
    """Every study in each of its spaces with every set of its objectives."""
    for definition in definitions().values():
        for space in definition.spaces:
            for objective in objective_sets(definition):
                yield definition, space, objective


def ended(definition: StudyDefinition, settings: Settings) -> Simulation:
    """A study that came to its end with right counts."""
    with tempfile.TemporaryDirectory() as scratch:
        simulation = Simulation(definition, settings, Path(scratch) / "study")
        simulation.ledger = simulation.run()
        check_counts(simulation, simulation.ledger)
    return simulation


def bests(definition: StudyDefinition, settings: Settings, seeds: int) -> list[float]:
    """What searches with different seeds came to, each ended with right counts."""
    runs = [
        ended(definition, Settings(**vars(settings) | {"seed": 100 * seed}))
        for seed in range(seeds)
    ]
    return [best(run, run.ledger) for run in runs]


def quiet() -> None:
    """No waiting for the disk, as no machine crashes here; no remarks of libraries."""
    Journal.commit = lambda _: None  # type: ignore[assignment,method-assign]
    warnings.simplefilter("ignore")
    logging.getLogger("optuna").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def answers(sampler: Sampler, scheduler: Scheduler, given: argparse.Namespace) -> Answers:
    """Of every question, what a sampler came to with each seed."""
    settings = Settings(trials=given.trials, epochs=EPOCHS, sampler=sampler, scheduler=scheduler)
    return {
        (scheduler, definition.kind, space, objective): bests(
            definition, replace(settings, space=space, objective=objective), given.seeds
        )
        for definition, space, objective in questions()
        if space in given.spaces.split(",")
    }


def row(sampler: Sampler, scheduler: Scheduler, mine: Answers, random: Answers) -> str:
    """One line of the table, without the seconds."""
    better, equal, worse = comparison.medians(mine, random)
    counts = f"{len(mine)} | all | {better} | {equal} | {worse}"
    return f"| {sampler} | {scheduler} | {counts} |"


def parsed() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--spaces", default="default,wide")
    return parser.parse_args()


def main() -> None:
    """Print the table, and whatever is worse than random search."""
    given = parsed()
    quiet()
    random: dict[Scheduler, Answers] = {}
    print("| sampler | scheduler | studies | ended | median better | equal | worse | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for sampler in dict.fromkeys(["random", *given.samplers.split(",")]):
        judged: Answers = {}
        for scheduler in SCHEDULERS:
            began = time.process_time()
            mine = answers(sampler, scheduler, given)
            judged |= mine
            if sampler == "random":
                random[scheduler] = mine
            seconds = time.process_time() - began
            line = row(sampler, scheduler, mine, random[scheduler])
            print(f"{line} {seconds:.0f} |", flush=True)
        every = {question: line for lines in random.values() for question, line in lines.items()}
        for question in comparison.shown_worse(judged, every):
            print(f"{sampler} is worse than random: {' '.join(question)}", flush=True)


if __name__ == "__main__":
    main()
