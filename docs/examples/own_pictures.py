"""Unlabelled pictures of one's own: a folder of PNG or JPEG files of any size.

python -m vae_trainables.datasets check path/to/pictures --sheet sheet.png
python -m studies.run own_pictures.py --data path/to/pictures --resize 32 --trials 10

Without labels nothing is judged by class: no probe, no SupCon.
"""

from __future__ import annotations

from typing import Any

import optuna

import studies
from vae_trainables.config import TrialConfig


def space(trial: optuna.Trial) -> dict[str, Any]:
    """How much is kept, how sharply, and how fast it is learned."""
    return {
        "kind": trial.suggest_categorical("kind", ["conv_vae", "conv_ae"]),
        "latent_dim": trial.suggest_categorical("latent_dim", [8, 16, 32, 64]),
        "ssim_weight": trial.suggest_float("ssim_weight", 0.1, 100.0, log=True),
        "lr": trial.suggest_float("lr", 3e-4, 5e-3, log=True),
    }


STUDY = studies.StudyDefinition(
    kind="own_pictures",
    title="Pictures of one's own",
    reference=TrialConfig(
        kind="conv_vae",
        latent_dim=16,
        noise_factor=0.2,
        eval_noise_factor=0.2,
        beta=0.1,
        ssim_weight=1.0,
        batch_size=32,
        epochs=10,
    ),
    space=space,
    objectives={"denoise": studies.Objective("val/ssim", "maximize")},
    prune_on=studies.Objective("val/ssim", "maximize"),
)

if __name__ == "__main__":
    studies.main(STUDY)
