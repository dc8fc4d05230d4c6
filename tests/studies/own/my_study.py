"""A study as a user writes one, with a model of her own from the file beside it."""

from __future__ import annotations

from typing import Any

import my_nets  # type: ignore[import-not-found]  # noqa: F401  # registers the model
import optuna

import studies
from vae_trainables.config import TrialConfig


def space(trial: optuna.Trial) -> dict[str, Any]:
    """The model's own hyperparameter and the learning rate."""
    return {
        "hidden_size": trial.suggest_categorical("hidden_size", [16, 32]),
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
    }


STUDY = studies.StudyDefinition(
    kind="my_study",
    title="A study of my own",
    reference=TrialConfig(
        kind="tiny_norm_vae", latent_dim=4, dataset="digits", noise_factor=0.45, epochs=40
    ),
    space=space,
    objectives={"denoise": studies.Objective("val/mse", "minimize")},
    prune_on=studies.Objective("val/mse", "minimize"),
)

if __name__ == "__main__":
    studies.main(STUDY)
