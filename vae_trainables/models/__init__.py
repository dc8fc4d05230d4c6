"""Every model kind by name. A new kind is one module here and one line in `vae_trainables.kinds`.

A user's own model is one class in a file of hers, with `@models.register("name")` above it.
"""

from __future__ import annotations

from importlib import import_module

from vae_trainables.config import ModelConfig
from vae_trainables.kinds import KINDS, kind
from vae_trainables.models.base import Autoencoder, ModelOutput
from vae_trainables.models.own import register

__all__ = ["KINDS", "Autoencoder", "ModelOutput", "build", "register"]


def build(config: ModelConfig) -> Autoencoder:
    """The untrained model of `config`, weights drawn by torch's defaults from its global stream.

    Raises:
        ValueError: the configuration cannot be built, e.g. more stages than the image allows.
    """
    model_kind = kind(config.kind)
    model: Autoencoder = (model_kind.make or import_module(model_kind.module).build)(config)
    return model
