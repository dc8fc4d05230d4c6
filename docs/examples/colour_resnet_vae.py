"""A residual VAE with a loss term of its own, on colour images. Copy it anywhere and change it.

python -m studies.run colour_resnet_vae.py --data path/to/class-folders --dry-run
python -m studies.run colour_resnet_vae.py --data path/to/class-folders --trials 20 --epochs 10
"""

from __future__ import annotations

from typing import Any

import optuna
from pydantic import BaseModel, Field
from torch import Tensor, nn

import studies
from vae_trainables import models
from vae_trainables.config import ModelConfig, TrialConfig
from vae_trainables.objective import terms


class Block(nn.Module):
    """Two convolutions around which the image also passes unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same shape."""
        return x + self.net(x)


@models.register("colour_resnet_vae")
class ColourResNetVAE(nn.Module):
    """Halves the image twice on the way in and doubles it twice on the way out."""

    class Settings(BaseModel):
        """Searched by these names, shown in tables like all others."""

        base_channels: int = Field(16, ge=4, le=128)
        depth: int = Field(1, ge=1, le=6, description="residual blocks at each size")

    def __init__(self, config: ModelConfig, settings: Settings) -> None:
        super().__init__()
        channels, height, width = config.image_shape
        if height % 4 or width % 4:
            raise ValueError(f"sides must be multiples of 4, got {height} × {width}")
        self.inner = (2 * settings.base_channels, height // 4, width // 4)
        base, (wide, rows, columns) = settings.base_channels, self.inner
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, base, 4, 2, 1),
            *(Block(base) for _ in range(settings.depth)),
            nn.Conv2d(base, wide, 4, 2, 1),
            *(Block(wide) for _ in range(settings.depth)),
            nn.Flatten(),
            nn.Linear(wide * rows * columns, 2 * config.latent_dim),
        )
        self.widen = nn.Linear(config.latent_dim, wide * rows * columns)
        self.decoder = nn.Sequential(
            *(Block(wide) for _ in range(settings.depth)),
            nn.ConvTranspose2d(wide, base, 4, 2, 1),
            *(Block(base) for _ in range(settings.depth)),
            nn.ConvTranspose2d(base, channels, 4, 2, 1),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z_mean and z_logvar, `(B, D)` each."""
        z_mean, z_logvar = self.encoder(x).chunk(2, 1)
        return z_mean, z_logvar

    def decode(self, z: Tensor) -> Tensor:
        """Logits `(B, C, H, W)`: the likelihood applies the sigmoid."""
        logits: Tensor = self.decoder(self.widen(z).unflatten(1, self.inner))
        return logits


@terms.register(name="colour", unit="squared error", weight="colour_weight", per="image")
def colour_error(batch: terms.Batch) -> Tensor:
    """Squared error of each channel's mean: a wrong tint is what people see first, `(B,)`."""
    difference = batch.image.mean(dim=(2, 3)) - batch.clean.mean(dim=(2, 3))
    return difference.square().sum(1)


def space(trial: optuna.Trial) -> dict[str, Any]:
    """The model's own hyperparameters, the own term's weight, and two that every trial has."""
    return {
        "base_channels": trial.suggest_categorical("base_channels", [8, 16, 32]),
        "depth": trial.suggest_int("depth", 1, 3),
        "colour_weight": trial.suggest_float("colour_weight", 0.1, 100.0, log=True),
        "beta": trial.suggest_float("beta", 0.01, 2.0, log=True),
        "lr": trial.suggest_float("lr", 3e-4, 5e-3, log=True),
    }


STUDY = studies.StudyDefinition(
    kind="colour_resnet_vae",
    title="A residual VAE on colour images",
    reference=TrialConfig(
        kind="colour_resnet_vae",
        latent_dim=32,
        noise_factor=0.2,
        eval_noise_factor=0.2,
        colour_weight=1.0,
        epochs=10,
    ),
    space=space,
    objectives={
        "denoise": studies.Objective("val/mse", "minimize"),
        "elbo": studies.Objective("val/neg_elbo", "minimize"),
    },
    prune_on=studies.Objective("val/mse", "minimize"),
)

if __name__ == "__main__":
    studies.main(STUDY)
