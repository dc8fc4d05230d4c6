"""R2: denoising VAE with SupCon on Fashion-MNIST, and the space around it.

The wide space holds other families too. Its likelihoods are densities over different things: −ELBO
compares its trials of one likelihood only, MSE and probe compare all.
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
    noise_factor=0.45,
    beta=1.0,
    beta_schedule="linear",
    warmup_epochs=8,
    supcon_gamma=1.0,
    supcon_temperature=0.1,
    lr=1e-3,
    lr_schedule="plateau",
    batch_size=256,
    epochs=20,
)


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Latent size, noise, β schedule, SupCon, capacity, reconstruction weighting, learning rate."""
    return {
        "latent_dim": trial.suggest_categorical("latent_dim", [8, 16, 32, 64, 128]),
        "noise_factor": trial.suggest_float("noise_factor", 0.2, 0.7),
        "beta_schedule": trial.suggest_categorical(
            "beta_schedule", ["constant", "linear", "cosine", "sigmoid", "cyclical"]
        ),
        "beta": trial.suggest_float("beta", 0.01, 4.0, log=True),
        "warmup_epochs": trial.suggest_int("warmup_epochs", 1, 10),
        "supcon_gamma": trial.suggest_float("supcon_gamma", 0.1, 300.0, log=True),
        "supcon_temperature": trial.suggest_float("supcon_temperature", 0.03, 1.0, log=True),
        "width": trial.suggest_categorical("width", [0.5, 1.0, 1.5]),
        "recon_term": trial.suggest_categorical("recon_term", ["nll", "mse", "l1"]),
        "lr": trial.suggest_float("lr", 1e-4, 5e-3, log=True),
    }


def wide(trial: optuna.Trial) -> dict[str, Any]:
    """Every family that denoises through a code, its capacity, loss and descent."""
    kinds = ["conv_vae", "res_conv_vae", "hier_conv_vae", "mlp_vae", "mlp_ae", "conv_ae"]
    fields = families.model(trial, kinds, latent=(4, 256), width=2.0)
    return {
        **fields,
        "noise_factor": trial.suggest_float("noise_factor", 0.2, 0.7),
        **families.reconstruction(trial, ["bernoulli", "continuous_bernoulli", "sigma"]),
        **families.divergence(trial, fields["kind"], beta=(1e-4, 4.0), warmup=(1, 10)),
        **families.contrast(trial),
        **families.descent(trial),
    }


STUDY = StudyDefinition(
    kind="denoise_sweep",
    title="Denoising VAE with supervised contrastive codes on Fashion-MNIST",
    reference=REFERENCE,
    space=space,
    other_spaces={"wide": wide},
    reference_choices={"supcon": True},
    objectives={
        "denoise": Objective("val/mse", "minimize"),
        "probe": Objective("val/probe", "maximize", evaluation="probe"),
        "elbo": Objective("val/neg_elbo", "minimize"),
    },
    prune_on=Objective("val/mse", "minimize"),
    companions=(REFERENCE.model_copy(update={"supcon_gamma": 30.0}),),  # a weight that is felt
)

if __name__ == "__main__":
    from studies.runner.cli import main

    main(STUDY)
