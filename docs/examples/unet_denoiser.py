"""A small U-Net that denoises without a bottleneck: a model that has no latent at all.

python -m studies.run unet_denoiser.py --data fashion-mnist --trials 6 --epochs 3 --train-size 5000

What such a model does not have (codes, a probe, samples) is left out of its records and pages.
"""

from __future__ import annotations

from typing import Any

import optuna
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

import studies
from vae_trainables import models
from vae_trainables.config import ModelConfig, TrialConfig


def double(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


@models.register("unet")
class UNet(nn.Module):
    """One level down and up again, with a skip connection (Ronneberger et al. 2015)."""

    class Settings(BaseModel):
        """Searched by these names."""

        unet_channels: int = Field(8, ge=4, le=64)
        unet_dropout: float = Field(0.0, ge=0, lt=1)

    def __init__(self, config: ModelConfig, settings: Settings) -> None:
        super().__init__()
        base = settings.unet_channels
        self.before = double(config.channels, base)
        self.below = nn.Sequential(nn.MaxPool2d(2), double(base, 2 * base))
        self.up = nn.ConvTranspose2d(2 * base, base, 2, 2)
        self.drop = nn.Dropout(settings.unet_dropout)
        self.after = nn.Sequential(double(2 * base, base), nn.Conv2d(base, config.channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Noisy images `(B, C, H, W)` to the logits of clean ones; sides must be even."""
        wide = self.before(x)
        narrow = self.up(self.below(wide))
        logits: Tensor = self.after(self.drop(torch.cat([wide, narrow], 1)))
        return logits


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Capacity, dropout and learning rate."""
    return {
        "unet_channels": trial.suggest_categorical("unet_channels", [4, 8, 16]),
        "unet_dropout": trial.suggest_float("unet_dropout", 0.0, 0.3),
        "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
    }


STUDY = studies.StudyDefinition(
    kind="unet_denoiser",
    title="A U-Net as a denoiser",
    reference=TrialConfig(kind="unet", noise_factor=0.45, recon_term="mse", lr=3e-3, epochs=3),
    space=space,
    objectives={"denoise": studies.Objective("val/mse", "minimize")},
    prune_on=studies.Objective("val/mse", "minimize"),
)

if __name__ == "__main__":
    studies.main(STUDY)
