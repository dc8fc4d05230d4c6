"""A space is tried before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest

from studies.denoise_sweep import STUDY
from studies.runner.errors import InputError
from studies.runner.planning import make_plan
from studies.runner.settings import Settings


def misspelt(trial: optuna.Trial) -> dict[str, Any]:
    return {"latent_dims": trial.suggest_int("latent_dims", 4, 8)}


def impossible(trial: optuna.Trial) -> dict[str, Any]:
    return {"latent_dim": trial.suggest_int("latent_dim", -8, 16)}


def without_the_references_choice(trial: optuna.Trial) -> dict[str, Any]:
    return {"latent_dim": trial.suggest_categorical("latent_dim", [8, 32])}


def without_the_references_number(trial: optuna.Trial) -> dict[str, Any]:
    return {"lr": trial.suggest_float("lr", 1e-2, 1e-1)}


def contradictory(trial: optuna.Trial) -> dict[str, Any]:
    trial.suggest_int("width", 1, 4)
    return {"width": trial.suggest_float("width", 0.1, 4.0)}


@pytest.mark.filterwarnings("ignore:Fixed parameter")
@pytest.mark.parametrize(
    ("space", "message"),
    [
        (misspelt, "latent_dims = .*not permitted"),
        (impossible, "latent_dim = .*greater than or equal to 1"),
        (without_the_references_choice, "the space of studies.denoise_sweep: .*16"),
        (without_the_references_number, "the reference's lr = 0.001 lies outside of it"),
        (contradictory, "the space of studies.denoise_sweep: Cannot set different"),
    ],
)
def test_a_space_that_cannot_be_searched_is_bad_input(
    space: Callable[[optuna.Trial], dict[str, Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(replace(STUDY, space=space), Settings())


def test_an_unknown_objective_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="denoise, probe, elbo"):
        make_plan(STUDY, Settings(objective="beauty"))
