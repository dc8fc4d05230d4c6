"""R1: the codes of a ConvVAE on Fashion-MNIST for a downstream classifier, and the space around it.

The reference has no contrastive term. SupCon's weight lives on a log scale, which has no zero:
whether there is such a term at all is a suggestion of its own, `supcon`.
"""

from __future__ import annotations

from typing import Any

import optuna

from studies import families
from studies.definition import Objective, StudyDefinition
from vae_trainables.config import TrialConfig

REFERENCE = TrialConfig(
    kind="conv_vae",
    latent_dim=16,
    dataset="fashion-mnist",
    noise_factor=0.0,
    eval_noise_factor=0.0,
    beta=1.0,
    beta_schedule="constant",
    lr=1e-3,
    batch_size=128,
    epochs=6,
)


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Latent size, β, SupCon and capacity."""
    contrast = trial.suggest_categorical("supcon", [False, True])
    return {
        "latent_dim": trial.suggest_categorical("latent_dim", [8, 16, 32, 64, 128]),
        "beta": trial.suggest_float("beta", 0.01, 8.0, log=True),
        "supcon_gamma": trial.suggest_float("supcon_gamma", 1.0, 300.0, log=True)
        if contrast
        else 0.0,
        "width": trial.suggest_categorical("width", [0.5, 1.0, 1.5]),
    }


def wide(trial: optuna.Trial) -> dict[str, Any]:
    """Every family with codes, training noise, loss and descent; −ELBO of one likelihood."""
    kinds = ["conv_vae", "res_conv_vae", "hier_conv_vae", "mlp_vae", "mlp_ae", "conv_ae"]
    fields = families.model(trial, kinds, latent=(4, 128), width=2.0)
    return {
        **fields,
        "noise_factor": trial.suggest_float("noise_factor", 0.0, 0.6),
        **families.reconstruction(trial),
        **families.divergence(trial, fields["kind"], beta=(1e-3, 8.0), warmup=(0, 6)),
        **families.contrast(trial),
        **families.descent(trial),
    }


PROBE = Objective("val/probe", "maximize", evaluation="probe")

STUDY = StudyDefinition(
    kind="representation_sweep",
    title="Codes of a convolutional VAE for a downstream classifier on Fashion-MNIST",
    reference=REFERENCE,
    space=space,
    other_spaces={"wide": wide},
    objectives={
        "probe": PROBE,
        "elbo": Objective("val/neg_elbo", "minimize"),
        "mse": Objective("val/mse", "minimize"),
    },
    prune_on=PROBE,  # −ELBO would end the very trials whose SupCon lifts the probe
    reference_choices={"supcon": False},
)

if __name__ == "__main__":
    from studies.runner.cli import main

    main(STUDY)
