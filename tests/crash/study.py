"""A study made to be killed: small, quick, and able to fail in every way a trial can fail.

`python -m tests.crash.study`. What trial number i does is the i-th name in CRASH_CASES.
"""

from __future__ import annotations

import os
from typing import Any

import optuna

from studies.definition import Objective, StudyDefinition
from studies.ledger.suggestions import NAME
from vae_trainables.config import TrialConfig

REFERENCE = TrialConfig(
    kind="mlp_vae",
    hidden=(64,),
    latent_dim=4,
    dataset="digits",
    noise_factor=0.3,
    beta=0.5,
    batch_size=32,
    epochs=6,
)

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "hopeless": {"lr": 1e-7},  # ASHA ends it at the first rung
    "diverging": {"lr": 1e6},
    "raising": {"evaluations": ("frechet",)},  # the study gives it no feature net
    "too big": {"hidden": (60_000, 60_000)},  # 14 GiB of weights
    "silent": {"evaluations": ()},  # leaves val/probe out
    "long": {"epochs": 40},
    "very long": {"epochs": 600},  # outlives `ray job stop`, and the start of a second node
    "outlasting": {"epochs": 1500},  # a minute without a tracker
    "endless": {"epochs": 1_000_000},
}


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Learning rate and latent size, and what goes wrong."""
    suggested = {
        "lr": trial.suggest_float("lr", 3e-4, 3e-3, log=True),
        "latent_dim": trial.suggest_int("latent_dim", 2, 16),
    }
    if not isinstance(trial, optuna.Trial) or trial.study.study_name != NAME:
        return suggested  # asked before the start, or for an heir: nothing goes wrong there
    names = [name for name in os.environ.get("CRASH_CASES", "").split(",") if name]
    case = names[trial.number] if trial.number < len(names) else "plain"
    return suggested | CASES[case]


STUDY = StudyDefinition(
    kind="crash",
    title="A study made to be killed",
    reference=REFERENCE,
    space=space,
    objectives={
        "denoise": Objective("val/mse", "minimize"),
        "probe": Objective("val/probe", "maximize", evaluation="probe"),
    },
    prune_on=Objective("val/mse", "minimize"),
)

if __name__ == "__main__":
    from studies.runner.cli import main

    main(STUDY)
