"""A table of learning curves that nothing was trained for: formulas at real points of the space."""

from __future__ import annotations

import math

import numpy as np
import optuna

from benchmarks import learning_curves
from benchmarks.curve_table import CurveTable

METRICS = ("val/mse", "val/ssim")


def final(parameters: dict[str, float]) -> float:
    """Best at a learning rate of 2e-3 and a large latent."""
    return 0.01 * (1 + abs(math.log(parameters["lr"] / 2e-3))) + 0.1 / parameters["latent_dim"]


def table(count: int, *, seed: int = 0, batch: int = 0) -> CurveTable:
    """`count` configurations on two seeds whose curves differ by a few per cent."""
    plan = learning_curves.plan()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    parameters, configs = [], []
    for _ in range(count):
        trial = study.ask()
        config = plan.configure(trial)
        parameters.append(dict(trial.params))
        configs.append(config.flat(without=learning_curves.LEFT_OUT))
    epochs = np.arange(1, learning_curves.EPOCHS + 1)
    noise = np.random.default_rng(seed).normal(0, 0.02, (count, 2, len(epochs)))
    finals = np.array([final(found) for found in parameters])
    mse = finals[:, None, None] * (1 + 2 / epochs) * np.exp(noise)
    return CurveTable(
        tuple(parameters),
        tuple(configs),
        np.full(count, batch),
        np.tile(np.arange(2), (count, 1)),
        np.full((count, 2), "finished"),
        METRICS,
        np.stack([mse, 1 - mse], axis=-1).astype(np.float32),
        {"data": "formulas", "epochs": len(epochs)},
    )
