"""Studies end, count right and learn the right thing, whatever is optimised, by whichever sampler.

The whole product, with 60 trials and several seeds each, is
`VAE_SEARCH_CONTRACT=full pytest tests/studies/search` (hours, most of them GP), or as a table
`python -m tests.studies.search.product`. Here every study with every set of its objectives meets
the default sampler and scheduler, and every sampler and scheduler a study of one objective and one
of two.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from studies.ledger.journal import Journal
from studies.runner.settings import Sampler, Scheduler, Settings
from tests.studies.search.product import (
    EPOCHS,
    SAMPLERS,
    SCHEDULERS,
    TRIALS,
    definitions,
    ended,
    medians,
    questions,
)

FULL = os.environ.get("VAE_SEARCH_CONTRACT") == "full"
INFORMED: tuple[Sampler, ...] = ("tpe", "gp") if FULL else ("tpe",)
ALL = [(definition.kind, objective) for definition, objective in questions()]
SOME = [("vae_vs_ae", "mse"), ("denoise_sweep", "probe,denoise")]
COMPARED = [
    ("denoise_sweep", "denoise"),  # pruned on the objective
    ("denoise_sweep", "elbo"),  # pruned on another metric of the same direction
    ("denoise_sweep", "probe"),  # pruned on another metric of the other direction
    ("denoise_sweep", "denoise,probe"),
]
COMBINATIONS = list(itertools.product(ALL if FULL else SOME, SAMPLERS, SCHEDULERS))


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: the crash of a machine is tested elsewhere."""
    monkeypatch.setattr(Journal, "commit", lambda _: None)


def settings(objective: str, sampler: Sampler, scheduler: Scheduler, trials: int) -> Settings:
    return Settings(
        trials=trials, epochs=EPOCHS, objective=objective, sampler=sampler, scheduler=scheduler
    )


@pytest.mark.parametrize(("kind", "objective"), ALL)
def test_every_study_ends_with_every_set_of_its_objectives(kind: str, objective: str) -> None:
    run = ended(definitions()[kind], settings(objective, "tpe", "asha", TRIALS if FULL else 40))
    statuses = {trial.status for trial in run.ledger.trials.values()}
    assert {"finished", "pruned", "diverged"} <= statuses
    assert run.happened["resumed"]
    assert run.happened["lost"]
    assert run.happened["repeated"]
    assert not run.said, "a resume without changes has nothing to say"


@pytest.mark.parametrize(("question", "sampler", "scheduler"), COMBINATIONS)
def test_every_sampler_and_scheduler_ends(
    question: tuple[str, str], sampler: Sampler, scheduler: Scheduler
) -> None:
    kind, objective = question
    ended(definitions()[kind], settings(objective, sampler, scheduler, TRIALS if FULL else 24))


def test_further_seeds_are_trained_and_counted_once(tmp_path: Path) -> None:
    given = vars(settings("probe", "tpe", "asha", 16)) | {"seeds": 2}
    run = ended(definitions()["representation_sweep"], Settings(**given))
    assert any(trial.extra_seed for trial in run.ledger.trials.values())


@pytest.mark.parametrize("sampler", INFORMED)
@pytest.mark.parametrize(("kind", "objective"), ALL if FULL else COMPARED)
def test_an_informed_sampler_is_not_worse_than_chance(
    kind: str, objective: str, sampler: Sampler
) -> None:
    definition, seeds = definitions()[kind], 5 if FULL else 3
    figures = {
        name: medians(definition, settings(objective, name, "asha", TRIALS), seeds)
        for name in (sampler, "random")
    }
    assert figures[sampler] <= figures["random"]
