"""A user's own model: any `nn.Module` with `encode` and `decode`, or with a `forward` alone.

    @models.register("my_vae")
    class MyVAE(nn.Module):
        class Settings(BaseModel):          # hyperparameters of its own, searchable by their names
            depth: int = Field(2, ge=1, le=6)

        def __init__(self, config: ModelConfig, settings: Settings) -> None: ...
        def encode(self, x): return z_mean, z_logvar   # (B, D) each; z_mean alone: an autoencoder
        def decode(self, z): return logits             # (B, C, H, W), before the sigmoid

What is drawn at random is drawn by the trial: `encode` returns the posterior, not a sample of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from vae_trainables.config import SETTINGS, ModelConfig
from vae_trainables.kinds import KINDS, Kind
from vae_trainables.models.base import Autoencoder, ModelOutput
from vae_trainables.models.gaussians import kl_divergence, reparameterize

M = TypeVar("M", bound=type[nn.Module])


def register(
    name: str, *, variational: bool | None = None, conditional: bool = False
) -> Callable[[M], M]:
    """Make a class known as the model kind `name`; to be written above the class.

    Args:
        variational: `encode` returns a mean and a log-variance; by default, whether the class has
            `encode` at all. Give False for an autoencoder whose `encode` returns codes alone.
        conditional: `encode` and `decode` take the classes `(B,)` int64 as a second argument.

    Raises:
        ValueError: the name is taken by this package, or a setting has the name of another field.
    """

    def take(model: M) -> M:
        settings = getattr(model, "Settings", None)
        _check(name, model, settings)
        has_latent = hasattr(model, "encode")
        KINDS[name] = Kind(
            variational=has_latent if variational is None else variational,
            conditional=conditional,
            latent=has_latent,
            settings=settings,
            make=lambda config: Own(_make(model, config), config),
            origin=model.__module__,
        )
        return model

    return take


def _check(name: str, model: type[nn.Module], settings: type[BaseModel] | None) -> None:
    before = KINDS.get(name)
    if before is not None and not before.origin:
        raise ValueError(f"the model kind {name!r} is one of this package: take another name")
    if hasattr(model, "encode") != hasattr(model, "decode"):
        raise ValueError(
            f"{model.__name__} has one of encode and decode: it needs both, or neither"
        )
    if settings is None:
        return
    taken = sorted(settings.model_fields.keys() & SETTINGS.keys())
    if taken:
        raise ValueError(
            f"{model.__name__}.Settings has {', '.join(taken)}, which every trial has already: "
            "read it from config, or take another name"
        )


def _make(model: type[nn.Module], config: ModelConfig) -> nn.Module:
    settings: type[BaseModel] | None = getattr(model, "Settings", None)
    accepted = len(inspect.signature(model).parameters)
    arguments: list[Any] = [config]
    if settings is not None:
        arguments.append(settings.model_validate(config.own))
    return model(*arguments[:accepted])


class Own(Autoencoder):
    """A user's module behind the interface of all models.

    Without `encode` there is no latent: D is 0, and no code, probe or sample.
    """

    def __init__(self, net: nn.Module, config: ModelConfig) -> None:
        super().__init__()
        self.net: Any = net
        self.variational, self.conditional = config.variational, config.conditional
        self.noise_dim = config.latent_dim if hasattr(net, "encode") else 0

    def encode(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if not self.noise_dim:
            nothing = x.new_zeros(len(x), 0)
            return nothing, nothing
        posterior = self.net.encode(x, *self._classes(labels))
        if isinstance(posterior, Tensor):
            return posterior, torch.zeros_like(posterior)
        z_mean, z_logvar = posterior
        return z_mean, z_logvar

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.net.decode(z, *self._classes(labels))
        return logits

    def forward(
        self, x: Tensor, eps: Tensor | None = None, labels: Tensor | None = None
    ) -> ModelOutput:
        if not self.noise_dim:
            nothing = x.new_zeros(len(x), 0)
            return ModelOutput(self.net(x, *self._classes(labels)), nothing, nothing, nothing)
        z_mean, z_logvar = self.encode(x, labels)
        if not self.variational:
            return ModelOutput(self.decode(z_mean, labels), z_mean, z_logvar, z_logvar)
        z = reparameterize(z_mean, z_logvar, eps)
        return ModelOutput(
            self.decode(z, labels), z_mean, z_logvar, kl_divergence(z_mean, z_logvar)
        )

    def _classes(self, labels: Tensor | None) -> tuple[Tensor | None, ...]:
        return (labels,) if self.conditional else ()
