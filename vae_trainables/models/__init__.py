"""Every model kind by name. A new kind is one module here and one line in `BUILDERS`."""

from __future__ import annotations

from collections.abc import Callable

from vae_trainables.config import ModelConfig, ModelKind
from vae_trainables.models import conditional, conv, hierarchical, mlp, residual
from vae_trainables.models.base import Autoencoder, ModelOutput

__all__ = ["BUILDERS", "Autoencoder", "ModelOutput", "build"]

BUILDERS: dict[ModelKind, Callable[[ModelConfig], Autoencoder]] = {
    "mlp_ae": mlp.build,
    "mlp_vae": mlp.build,
    "conv_ae": conv.build,
    "conv_vae": conv.build,
    "res_conv_vae": residual.build,
    "cond_conv_vae": conditional.build,
    "hier_conv_vae": hierarchical.build,
}


def build(config: ModelConfig) -> Autoencoder:
    """The untrained model of `config`, weights drawn by torch's defaults from its global stream.

    Raises:
        ValueError: the configuration cannot be built, e.g. more stages than the image allows.
    """
    return BUILDERS[config.kind](config)
