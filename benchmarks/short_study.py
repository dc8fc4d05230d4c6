"""The study that `studies_per_hour` times: the space of `usual_way`, the model by `--study`."""

from __future__ import annotations

import sys
from typing import Any

import optuna

from studies.definition import Objective, StudyDefinition
from vae_trainables.config import TrialConfig

KIND = sys.argv[sys.argv.index("--study") + 1] if "--study" in sys.argv else "mlp_vae"
MSE = Objective("val/mse", "minimize")


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Three hyperparameters, as in `usual_way`."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 5e-3, log=True),
        "beta": trial.suggest_float("beta", 0.01, 4, log=True),
        "latent_dim": trial.suggest_categorical("latent_dim", [8, 16, 32]),
    }


STUDY = StudyDefinition(
    kind="short_study",
    title="Short trials",
    reference=TrialConfig(kind=KIND, noise_factor=0.45, beta_schedule="constant"),
    space=space,
    objectives={"mse": MSE},
    prune_on=MSE,
)

if __name__ == "__main__":
    from studies.runner.cli import main

    main(STUDY)
