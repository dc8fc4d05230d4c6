"""A model as a user writes one; it lies beside her study file."""

from __future__ import annotations

from pydantic import BaseModel, Field
from torch import Tensor, nn

from vae_trainables import models
from vae_trainables.config import ModelConfig


@models.register("tiny_norm_vae")
class TinyNormVAE(nn.Module):
    """One hidden layer with batch normalisation."""

    class Settings(BaseModel):
        hidden_size: int = Field(32, ge=1, le=512)

    def __init__(self, config: ModelConfig, settings: Settings) -> None:
        super().__init__()
        self.side = config.image_size
        self.trunk = nn.Sequential(
            nn.Flatten(),
            nn.Linear(self.side**2, settings.hidden_size),
            nn.BatchNorm1d(settings.hidden_size),
            nn.ReLU(),
        )
        self.heads = nn.Linear(settings.hidden_size, 2 * config.latent_dim)
        self.out = nn.Linear(config.latent_dim, self.side**2)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z_mean, z_logvar = self.heads(self.trunk(x)).chunk(2, 1)
        return z_mean, z_logvar

    def decode(self, z: Tensor) -> Tensor:
        return self.out(z).view(-1, 1, self.side, self.side)
