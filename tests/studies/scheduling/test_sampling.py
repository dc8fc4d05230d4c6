"""Samplers: GP's conditional parameters are learned, all else is drawn as Optuna draws it."""

from __future__ import annotations

import typing
import warnings
from typing import Any

import optuna
import pytest

from studies.runner.settings import Sampler
from studies.scheduling import sampling

AIM = 0.7  # of the parameter that only half of the trials have


def plain(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    return (x - 0.3) ** 2 + 0.1 * trial.suggest_categorical("c", [0, 1])


def conditional(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.suggest_categorical("family", ["a", "b"]) == "a":
        return 1.0 + x
    return (trial.suggest_float("only b", 0.0, 1.0) - AIM) ** 2 + 0.1 * x


def searched(sampler: optuna.samplers.BaseSampler, objective: Any, count: int) -> optuna.Study:
    warnings.simplefilter("ignore")
    study = optuna.create_study(sampler=sampler)
    for number in range(count):
        trial = study.ask()
        value = objective(trial)
        if number % 3 == 1:  # pruned trials teach TPE, but not GP
            trial.report(value, 1)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)
    return study


@pytest.mark.parametrize("name", typing.get_args(Sampler))
def test_every_sampler_of_the_flag_is_made(name: str) -> None:
    for objectives in (1, 2):
        made = sampling.make(name, seed=0, objectives=objectives)
        assert isinstance(made, optuna.samplers.BaseSampler)


def test_an_unknown_one_is_none() -> None:
    with pytest.raises(ValueError, match="magic"):
        sampling.make("magic", seed=0, objectives=1)


def test_without_conditions_gp_suggests_what_optunas_gp_suggests() -> None:
    mine = searched(sampling.make("gp", seed=4, objectives=1), plain, 20)
    theirs = searched(
        sampling.Repeatable(
            lambda drawn: optuna.samplers.GPSampler(seed=drawn, warn_independent_sampling=False), 4
        ),
        plain,
        20,
    )
    assert [t.params for t in mine.trials] == [t.params for t in theirs.trials]


def test_gp_learns_what_only_some_trials_have() -> None:
    """Optuna draws it at random: its mean distance from the best stays that of chance."""

    def distance(study: optuna.Study) -> float:
        late = [t.params["only b"] for t in study.trials[25:] if "only b" in t.params]
        assert len(late) > 5
        return sum(abs(value - AIM) for value in late) / len(late)

    mine = searched(sampling.make("gp", seed=1, objectives=1), conditional, 45)
    optunas = optuna.samplers.GPSampler(seed=1, warn_independent_sampling=False)
    assert distance(mine) < 0.6 * distance(searched(optunas, conditional, 45))
