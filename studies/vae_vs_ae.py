"""R3: a VAE against a standard autoencoder on MNIST, in one unit, and the space around both.

Every figure is in nats per image or per pixel alike for both kinds. An autoencoder pays no KL: its
`val/neg_elbo` is its reconstruction loss alone, so that `--objective elbo` favours it; `mse` and
`recon` ask both kinds the same.
"""

from __future__ import annotations

from typing import Any

import optuna

from studies import families
from studies.definition import Objective, StudyDefinition
from vae_trainables.config import TrialConfig

REFERENCE = TrialConfig(
    kind="mlp_vae",
    hidden=(400,),
    latent_dim=20,
    dataset="mnist",
    noise_factor=0.0,
    eval_noise_factor=0.0,
    beta=1.0,
    beta_schedule="constant",
    lr=1e-3,
    batch_size=128,
    epochs=20,
)


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Kind, latent size and learning rate; β for the VAE alone, an autoencoder has no KL."""
    kind = trial.suggest_categorical("kind", ["mlp_vae", "mlp_ae"])
    parameters = {
        "kind": kind,
        "latent_dim": trial.suggest_categorical("latent_dim", [2, 5, 10, 20, 40]),
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
    }
    if kind == "mlp_vae":
        parameters["beta"] = trial.suggest_float("beta", 0.05, 8.0, log=True)
    return parameters


def wide(trial: optuna.Trial) -> dict[str, Any]:
    """Further families of both, capacity, β's schedule, descent; one likelihood, for −ELBO."""
    kinds = ["mlp_vae", "mlp_ae", "conv_vae", "conv_ae", "res_conv_vae", "hier_conv_vae"]
    fields = families.model(trial, kinds, latent=(2, 64), width=2.0)
    return {
        **fields,
        **families.divergence(trial, fields["kind"], beta=(0.05, 8.0), warmup=(0, 10)),
        **families.descent(trial),
    }


STUDY = StudyDefinition(
    kind="vae_vs_ae",
    title="VAE against standard autoencoder on MNIST",
    reference=REFERENCE,
    space=space,
    other_spaces={"wide": wide},
    reference_choices={"layers": 1},
    objectives={
        "mse": Objective("val/mse", "minimize"),
        "recon": Objective("val/recon", "minimize"),
        "elbo": Objective("val/neg_elbo", "minimize"),
    },
    prune_on=Objective("val/mse", "minimize"),
    companions=(REFERENCE.model_copy(update={"kind": "mlp_ae"}),),
)

if __name__ == "__main__":
    from studies.runner.cli import main

    main(STUDY)
