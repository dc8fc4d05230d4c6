"""What `make demo` runs: do small dense networks denoise as well as R2, in two epochs?

R2 keeps its own recipe, of which latent size and β are varied. The dense kinds, ten times as fast,
drop SupCon and the warm-up, which take longer than two epochs to pay.
"""

from __future__ import annotations

from typing import Any

import optuna

from studies import denoise_sweep
from studies.definition import Objective, StudyDefinition

MSE = Objective("val/mse", "minimize")


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Kind, latent size and β; for the dense kinds also width, batch size and learning rate."""
    kind = trial.suggest_categorical("kind", ["mlp_ae", "mlp_vae", "conv_vae"])
    config: dict[str, Any] = {
        "kind": kind,
        "latent_dim": trial.suggest_categorical("latent_dim", [16, 32, 64, 128]),
    }
    if kind != "mlp_ae":
        config["beta"] = trial.suggest_float("beta", 0.03, 1.0, log=True)
    return config if kind == "conv_vae" else config | _dense(trial)


def _dense(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "width": trial.suggest_categorical("width", [1.0, 1.5, 2.0]),
        "batch_size": trial.suggest_categorical("batch_size", [64, 128, 256]),
        "lr": trial.suggest_float("lr", 5e-4, 4e-3, log=True),
        "lr_schedule": "cosine",
        "beta_schedule": "constant",
        "supcon_gamma": 0.0,
    }


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
