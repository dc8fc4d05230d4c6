"""Unlabelled pictures of one's own: a folder of PNG or JPEG files of any size.

python -m vae_trainables.datasets check path/to/pictures --sheet sheet.png
python -m studies.run own_pictures.py --data path/to/pictures --resize 32 --trials 10

Without labels nothing is judged by class: no probe, no SupCon. The noise, a metric, a β schedule
and a baseline are the file's own: one function each.
"""

from __future__ import annotations

from typing import Any

import optuna
import torch
from scipy.ndimage import median_filter
from torch import Tensor

import studies
from vae_trainables import metrics
from vae_trainables.config import TrialConfig
from vae_trainables.datasets import noise
from vae_trainables.evaluation import baselines
from vae_trainables.training import schedules


@noise.register("scratches", random="uniform")
def scratches(images: Tensor, factor: noise.Factor, rand: Tensor) -> Tensor:
    """White columns, as of a scanner: each column of an image with probability `factor`."""
    scratched = rand[:, :1, :1, :] < factor
    return torch.where(scratched, 1.0, images)


@metrics.register(name="sharpness", unit="grey levels", better="lower")
def lost_sharpness(image: Tensor, clean: Tensor) -> Tensor:
    """How far apart the mean steps between neighbouring pixels are, (B,)."""
    steps = [x.diff(dim=3).abs().flatten(1).mean(1) for x in (image, clean)]
    return (steps[0] - steps[1]).abs()


@schedules.register("late")
def late(step: int, steps_per_epoch: int, warmup_epochs: int) -> float:
    """Nothing during the warm-up, all of β afterwards."""
    return float(step >= warmup_epochs * steps_per_epoch)


@baselines.register("median of 3")
def median(training: baselines.Training) -> baselines.Denoiser:
    """The median of each pixel and its neighbours to the left and right."""
    return lambda noisy: torch.from_numpy(median_filter(noisy.numpy(), (1, 1, 1, 3)))


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
        noise_kind="scratches",
        noise_factor=0.2,
        eval_noise_kind="scratches",
        eval_noise_factor=0.2,
        beta=0.1,
        beta_schedule="late",
        warmup_epochs=2,
        ssim_weight=1.0,
        batch_size=32,
        epochs=10,
    ),
    space=space,
    objectives={
        "denoise": studies.Objective("val/ssim", "maximize"),
        "sharp": studies.Objective("val/sharpness", "minimize"),
    },
    prune_on=studies.Objective("val/ssim", "maximize"),
)

if __name__ == "__main__":
    studies.main(STUDY)
