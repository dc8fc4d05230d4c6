"""What `make demo` runs: do small dense networks denoise as well as R2, in two epochs?

R2 keeps its own recipe, of which latent size and learning rate alone are varied. The dense kinds,
several times as fast, are trained for what they are judged by, without what pays only after many
epochs.
"""

from __future__ import annotations

from typing import Any

import optuna

from studies import denoise_sweep
from studies.definition import Objective, StudyDefinition

MSE = Objective("val/mse", "minimize")


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Kind, latent size, learning rate; for the dense kinds also width, batch size, and β."""
    kind = trial.suggest_categorical("kind", ["conv_vae", "mlp_vae", "mlp_ae"])
    config = {
        "kind": kind,
        "latent_dim": trial.suggest_categorical("latent_dim", [16, 32, 64]),
    }
    if kind != "conv_vae":
        config |= _dense(trial, kind)
    return config | {"lr": trial.suggest_float("lr", 1e-3, 4e-3, log=True)}


def _dense(trial: optuna.Trial, kind: str) -> dict[str, Any]:
    config = {
        "width": trial.suggest_categorical("width", [1.0, 1.5]),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64]),
        "lr_schedule": "cosine",
        "recon_term": "mse",
        "beta_schedule": "constant",
        "supcon_gamma": 0.0,
    }
    if kind == "mlp_vae":
        config["beta"] = trial.suggest_float("beta", 1e-4, 1e-2, log=True)
    return config


STUDY = StudyDefinition(
    kind="small_denoisers",
    title="Small denoisers of Fashion-MNIST against R2",
    reference=denoise_sweep.REFERENCE,
    space=space,
    objectives={"denoise": MSE},
    prune_on=MSE,
)

if __name__ == "__main__":
    from studies.runner.cli import main

    main(STUDY)
