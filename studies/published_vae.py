"""The VAE whose densities are published: two gated layers of 300, 40 latents, binary pixels.

The reference is the `vae` with a standard normal prior of VampPrior's and Exemplar VAE's code
(Norouzi, Fleet & Norouzi 2020), as far as this package has it: Adam there normalises each
gradient, validation has 10,000 images there and 5,000 here, and what is tested there are the
weights of the best epoch, here those of the last. `python -m analysis.literature` sets what it
reaches beside what is published.
"""

from __future__ import annotations

from typing import Any

import optuna

from studies.definition import Objective, StudyDefinition
from vae_trainables.config import TrialConfig

REFERENCE = TrialConfig(
    kind="gated_mlp_vae",
    hidden=(300, 300),
    latent_dim=40,
    dataset="mnist",
    binarise="dynamic",
    train_size=50_000,
    noise_factor=0.0,
    eval_noise_factor=0.0,
    beta=1.0,
    beta_schedule="linear",
    warmup_epochs=100,
    lr=5e-4,
    batch_size=100,
    epochs=2000,
    patience=50,
    watch="val/neg_elbo",
    iw_samples=500,
    iw_images=10_000,
)


def space(trial: optuna.Trial) -> dict[str, Any]:
    """What the published comparisons leave fixed: latent size, learning rate and warm-up."""
    return {
        "latent_dim": trial.suggest_categorical("latent_dim", [20, 40, 80]),
        "lr": trial.suggest_float("lr", 1e-4, 3e-3, log=True),
        "warmup_epochs": trial.suggest_int("warmup_epochs", 0, 100),
    }


STUDY = StudyDefinition(
    kind="published_vae",
    title="The VAE of published densities",
    reference=REFERENCE,
    space=space,
    objectives={"elbo": Objective("val/neg_elbo", "minimize")},
    prune_on=Objective("val/neg_elbo", "minimize"),
)

if __name__ == "__main__":
    from studies.runner.cli import main

    main(STUDY)
