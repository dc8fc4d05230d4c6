"""R4: a generative ConvVAE with 12 latent dimensions on Fashion-MNIST, and the space around it.

Likelihoods are densities over different things: −ELBO compares trials of one likelihood only, the
Fréchet distance compares all.
"""

from __future__ import annotations

from typing import Any

import optuna

from studies import families
from studies.definition import Objective, StudyDefinition
from vae_trainables.config import TrialConfig

REFERENCE = TrialConfig(
    kind="conv_vae",
    latent_dim=12,
    dataset="fashion-mnist",
    noise_factor=0.0,
    eval_noise_factor=0.0,
    likelihood="bernoulli",
    beta=1.0,
    beta_schedule="constant",
    lr=1e-3,
    batch_size=128,
    epochs=30,
)


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Latent size, β schedule, likelihood and capacity."""
    schedule = trial.suggest_categorical(
        "beta_schedule", ["constant", "linear", "cosine", "sigmoid", "cyclical"]
    )
    return {
        "latent_dim": trial.suggest_categorical("latent_dim", [6, 12, 24, 48]),
        "beta_schedule": schedule,
        "beta": trial.suggest_float("beta", 0.1, 4.0, log=True),
        "warmup_epochs": 0 if schedule == "constant" else trial.suggest_int("warmup_epochs", 1, 12),
        "likelihood": trial.suggest_categorical(
            "likelihood", ["bernoulli", "continuous_bernoulli", "sigma"]
        ),
        "width": trial.suggest_categorical("width", [0.5, 1.0, 1.5]),
    }


def wide(trial: optuna.Trial) -> dict[str, Any]:
    """Every family with a prior to sample, its capacity, loss and descent."""
    kinds = ["conv_vae", "res_conv_vae", "hier_conv_vae", "mlp_vae"]
    fields = families.model(trial, kinds, latent=(4, 128), width=2.0)
    return {
        **fields,
        **families.reconstruction(trial, ["bernoulli", "continuous_bernoulli", "sigma"]),
        **families.divergence(trial, fields["kind"], beta=(0.01, 8.0), warmup=(0, 12)),
        **families.descent(trial),
    }


FRECHET = Objective("val/frechet", "minimize", evaluation="frechet")

STUDY = StudyDefinition(
    kind="generation_sweep",
    title="Generative convolutional VAE on Fashion-MNIST",
    reference=REFERENCE,
    space=space,
    other_spaces={"wide": wide},
    objectives={"frechet": FRECHET, "elbo": Objective("val/neg_elbo", "minimize")},
    prune_on=FRECHET,
)

if __name__ == "__main__":
    from studies.runner.cli import main

    main(STUDY)
