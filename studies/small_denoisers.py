"""What `make demo` runs: do small dense networks denoise as well as R2, in two epochs?

R2 keeps its own recipe, of which the latent size alone is varied. The dense kinds, several times as
fast, are trained for what they are judged by, without what pays only after many epochs.
"""

from __future__ import annotations

from typing import Any

import optuna

from studies import denoise_sweep
from studies.definition import Objective, StudyDefinition

MSE = Objective("val/mse", "minimize")


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Kind and latent size; for the dense kinds also width, batch size, learning rate, and β."""
    kind = trial.suggest_categorical("kind", ["mlp_ae", "mlp_vae", "conv_vae"])
    config = {
        "kind": kind,
        "latent_dim": trial.suggest_categorical("latent_dim", [16, 64, 128, 256]),
    }
    return config if kind == "conv_vae" else config | _dense(trial, kind)


def _dense(trial: optuna.Trial, kind: str) -> dict[str, Any]:
    config = {
        "width": trial.suggest_categorical("width", [1.0, 2.0, 3.0]),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64]),
        "lr": trial.suggest_float("lr", 1e-3, 3e-3, log=True),
        "lr_schedule": "cosine",
        "recon_term": "mse",
        "beta_schedule": "constant",
        "supcon_gamma": 0.0,
    }
    if kind == "mlp_vae":
        config["beta"] = trial.suggest_float("beta", 1e-3, 0.1, log=True)
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
