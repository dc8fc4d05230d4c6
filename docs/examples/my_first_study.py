"""How small can a denoiser be? A study of one's own: copy this to studies/ and change it.

python -m studies.my_first_study --dry-run
python -m studies.my_first_study --trials 20 --epochs 5
"""

from __future__ import annotations

from typing import Any

import optuna

from studies.definition import Objective, StudyDefinition
from vae_trainables.config import TrialConfig

REFERENCE = TrialConfig(
    kind="mlp_vae", hidden=(256,), latent_dim=16, dataset="digits", noise_factor=0.45, epochs=5
)


def space(trial: optuna.Trial) -> dict[str, Any]:
    """The fields of the reference that a trial changes; see TrialConfig for all there are."""
    return {
        "latent_dim": trial.suggest_categorical("latent_dim", [4, 8, 16, 32]),
        "width": trial.suggest_categorical("width", [0.25, 0.5, 1.0]),
        "beta": trial.suggest_float("beta", 0.01, 2.0, log=True),
    }


STUDY = StudyDefinition(
    kind="my_first_study",  # the file's name
    title="How small can a denoiser be?",
    reference=REFERENCE,
    space=space,
    objectives={"denoise": Objective("val/mse", "minimize")},  # more: --objective a,b
    prune_on=Objective("val/mse", "minimize"),
)

if __name__ == "__main__":
    from studies.runner.cli import main

    main(STUDY)
