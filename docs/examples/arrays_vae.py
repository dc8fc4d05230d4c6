"""A VAE on images that the file itself brings as arrays, such as those of a MedMNIST .npz.

python -m studies.run arrays_vae.py --trials 20 --epochs 10
python -m studies.run arrays_vae.py --data pathmnist.npz          # other images, same study

`data` runs on the driver only; workers are given the images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna

import studies
from vae_trainables.config import TrialConfig


def data() -> dict[str, Any]:
    """Arrays by name, as MedMNIST has them: uint8 `(N, H, W)` and labels `(N,)`.

    Here: discs and bars of random size and place, 3 classes. Put `numpy.load(PATH)` in its place.
    """
    rng = np.random.default_rng(0)
    count, side = 1_200, 28
    labels = rng.integers(0, 3, count)
    y, x = np.mgrid[:side, :side]
    row, column = rng.uniform(8, 20, (2, count, 1, 1))
    size = rng.uniform(3, 8, (count, 1, 1))
    disc = (y - row) ** 2 + (x - column) ** 2 < size**2
    shapes = np.stack([disc, abs(y - row) < size / 2, abs(x - column) < size / 2])
    images = (shapes[labels, np.arange(count)] * rng.integers(120, 256, (count, 1, 1))).astype("u1")
    train, val = slice(1_000), slice(1_000, 1_100)
    test = slice(1_100, None)
    return {
        f"{name}_{what}": array[part]
        for name, part in (("train", train), ("val", val), ("test", test))
        for what, array in (("images", images), ("labels", labels))
    }


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Any fields of the reference."""
    return {
        "latent_dim": trial.suggest_categorical("latent_dim", [2, 4, 8, 16]),
        "beta": trial.suggest_float("beta", 0.01, 4.0, log=True),
        "lr": trial.suggest_float("lr", 3e-4, 5e-3, log=True),
    }


STUDY = studies.StudyDefinition(
    kind="arrays_vae",
    title="A VAE on arrays",
    reference=TrialConfig(
        kind="conv_vae",
        dataset="shapes",
        widths=(8, 16),
        latent_dim=4,
        noise_factor=0.3,
        eval_noise_factor=0.3,
        batch_size=64,
        epochs=8,
    ),
    space=space,
    objectives={
        "denoise": studies.Objective("val/mse", "minimize"),
        "probe": studies.Objective("val/probe", "maximize", evaluation="probe"),
    },
    prune_on=studies.Objective("val/mse", "minimize"),
    data=data,
)

if __name__ == "__main__":
    studies.main(STUDY)
