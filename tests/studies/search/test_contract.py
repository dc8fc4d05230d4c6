"""Studies end, count right and learn the right thing, whatever is optimised, by whichever sampler.

The whole product, with 60 trials and several seeds each, is
`VAE_SEARCH_CONTRACT=full pytest tests/studies/search` (hours, most of them GP), or as a table
`python -m tests.studies.search.product`. Here every study with every set of its objectives meets
the default sampler and scheduler, and every sampler and scheduler a study of one objective and one
of two.
"""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studies.definition import Goal
from studies.ledger import suggestions
from studies.ledger.journal import Journal
from studies.ledger.trials import LedgerTrial
from studies.runner.settings import Sampler, Scheduler, Settings
from tests.studies.search.comparison import medians, shown_worse
from tests.studies.search.product import (
    EPOCHS,
    SAMPLERS,
    SCHEDULERS,
    TRIALS,
    bests,
    definitions,
    ended,
    questions,
)
from tests.studies.search.simulated import CALM, Simulation, course

SEEDS = 12
FULL = os.environ.get("VAE_SEARCH_CONTRACT") == "full"
INFORMED: tuple[Sampler, ...] = ("tpe", "gp") if FULL else ("tpe",)
Question = tuple[str, str, str]  # a study, its space, its objectives
ALL = [(definition.kind, space, objective) for definition, space, objective in questions()]
FIRST = {kind: next(iter(study.objectives)) for kind, study in definitions().items()}
ENOUGH = [
    (kind, space, objective)
    for kind, space, objective in ALL
    if FULL or space == "default" or objective == FIRST[kind]
]
SOME = [("vae_vs_ae", "default", "mse"), ("denoise_sweep", "default", "probe,denoise")]
COMPARED = [
    ("denoise_sweep", "default", "denoise"),  # pruned on the objective
    ("denoise_sweep", "default", "elbo"),  # pruned on another metric of the same direction
    ("denoise_sweep", "default", "probe"),  # pruned on another metric of the other direction
    ("denoise_sweep", "default", "denoise,probe"),
]
COMBINATIONS = [
    (question, sampler, scheduler)
    for question, sampler, scheduler in itertools.product(
        ALL if FULL else SOME, SAMPLERS, SCHEDULERS
    )
    if scheduler != "pbt" or sampler in ("tpe", "random")  # asked for the first members alone
]
if not FULL:
    COMBINATIONS += [(("denoise_sweep", "wide", "denoise"), name, "asha") for name in SAMPLERS]


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: the crash of a machine is tested elsewhere."""
    monkeypatch.setattr(Journal, "commit", lambda _: None)


def settings(
    objective: str, sampler: Sampler, scheduler: Scheduler, trials: int, space: str = "default"
) -> Settings:
    return Settings(
        trials=trials,
        epochs=EPOCHS,
        objective=objective,
        sampler=sampler,
        scheduler=scheduler,
        eta=3.0,  # of 40 trials enough live on for one to diverge
        space=space,
    )


@pytest.mark.parametrize(("kind", "space", "objective"), ENOUGH)
def test_every_study_ends_with_every_set_of_its_objectives(
    kind: str, space: str, objective: str
) -> None:
    asked = settings(objective, "tpe", "asha", TRIALS if FULL else 40, space)
    run = ended(definitions()[kind], asked)
    statuses = {trial.status for trial in run.ledger.trials.values()}
    assert {"finished", "diverged"} <= statuses
    assert "pruned" in statuses or kind == "published_vae"  # whose β rises beyond these epochs
    assert run.happened["resumed"]
    assert run.happened["lost"]
    assert run.happened["repeated"]
    assert not run.said, "a resume without changes has nothing to say"


@pytest.mark.parametrize(("question", "sampler", "scheduler"), COMBINATIONS)
def test_every_sampler_and_scheduler_ends(
    question: Question, sampler: Sampler, scheduler: Scheduler
) -> None:
    kind, space, objective = question
    trials = TRIALS if FULL else 24
    ended(definitions()[kind], settings(objective, sampler, scheduler, trials, space))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_resumed_study_is_the_one_that_nobody_interrupted(
    sampler: Sampler, scheduler: Scheduler, tmp_path: Path
) -> None:
    """With one worker, whose order is no chance: every suggestion, epoch and end."""
    asked = settings("denoise", sampler, scheduler, TRIALS if FULL else 14)
    deaths = replace(CALM, kills=3)
    calm, other = (
        Simulation(definitions()["denoise_sweep"], asked, tmp_path / name, fate, workers=1).run()
        for name, fate in (("calm", CALM), ("other", deaths))
    )
    assert course(other) == course(calm)


def test_further_seeds_are_trained_and_counted_once(tmp_path: Path) -> None:
    given = vars(settings("probe", "tpe", "asha", 16)) | {"seeds": 2}
    run = ended(definitions()["representation_sweep"], Settings(**given))
    assert any(trial.extra_seed for trial in run.ledger.trials.values())


@pytest.mark.parametrize("sampler", INFORMED)
def test_an_informed_sampler_is_not_worse_than_chance(sampler: Sampler) -> None:
    questions = ALL if FULL else COMPARED
    mine, random = (
        {
            (kind, space, objective): bests(
                definitions()[kind], settings(objective, name, "asha", TRIALS, space), SEEDS
            )
            for kind, space, objective in questions
        }
        for name in (sampler, "random")
    )
    assert not shown_worse(mine, random)
    better, _, worse = medians(mine, random)
    assert better > worse


def test_what_is_worse_is_called_worse() -> None:
    """Of twenty pairs, nearly all on one side; by chance, hardly ever."""
    chance = np.random.default_rng(0)
    noise = {question: chance.normal(size=(2, 20)) for question in range(70)}
    one, other = ({q: list(pair[i]) for q, pair in noise.items()} for i in range(2))
    assert shown_worse(one, other) == []
    assert shown_worse(one | {7: [value + 1.5 for value in one[7]]}, other) == [7]
    assert shown_worse({0: [1.0, math.inf]}, {0: [1.0, math.inf]}) == []


def test_learning_the_opposite_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the comparison is for: a sampler that is shown its values with the wrong sign."""
    truth = suggestions.shown

    def opposite(trial: LedgerTrial | None, goal: Goal) -> suggestions.Shown:
        look = truth(trial, goal)
        return replace(look, values=[-value for value in look.values]) if look.values else look

    monkeypatch.setattr(suggestions, "shown", opposite)
    asked = settings("denoise", "tpe", "none", TRIALS)
    mine = bests(definitions()["denoise_sweep"], asked, SEEDS)
    chance = bests(definitions()["denoise_sweep"], replace(asked, sampler="random"), SEEDS)
    assert shown_worse({"denoise": mine}, {"denoise": chance}) == ["denoise"]
