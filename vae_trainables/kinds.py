"""Which kinds of models there are, without importing torch: one line each, from which all derives.

A user's own kind is added by `vae_trainables.models.register`, when its file is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True)
class Kind:
    """What is known of a kind before it is built.

    module: has `build(config)`; imported when a model is built. make: in its place, for own kinds.
    variational: has a posterior variance, a KL and a prior to sample.
    conditional: is told the class of what it encodes and decodes.
    latent: has codes at all.
    settings: hyperparameters of its own, beside those of ModelConfig.
    bound_images: on how many test images log p(x) is bounded unless `iw_images` says: fewer where
        a pass takes several times a ConvVAE's time.
    origin: name of the module that registered an own kind; "" for those of this package.
    """

    module: str = ""
    variational: bool = True
    conditional: bool = False
    latent: bool = True
    settings: type[BaseModel] | None = None
    bound_images: int = 256
    make: Callable[[Any], Any] | None = None
    origin: str = ""


KINDS: dict[str, Kind] = {
    "mlp_ae": Kind("vae_trainables.models.mlp", variational=False),
    "mlp_vae": Kind("vae_trainables.models.mlp"),
    "gated_mlp_vae": Kind("vae_trainables.models.gated_mlp"),
    "conv_ae": Kind("vae_trainables.models.conv", variational=False),
    "conv_vae": Kind("vae_trainables.models.conv"),
    "res_conv_vae": Kind("vae_trainables.models.residual", bound_images=64),
    "cond_conv_vae": Kind("vae_trainables.models.conditional", conditional=True),
    "hier_conv_vae": Kind("vae_trainables.models.hierarchical", bound_images=64),
}


def kind(name: str) -> Kind:
    """The kind of that name; ValueError, listing those there are, for any other."""
    if name not in KINDS:
        raise ValueError(
            f"there is no model kind {name!r}; there are {', '.join(KINDS)}, and those of a "
            "study's own file once it is loaded (python -m studies.run FILE)"
        )
    return KINDS[name]


def own_settings(name: str) -> set[str]:
    """Names of the hyperparameters that a kind has for itself."""
    settings = KINDS[name].settings if name in KINDS else None
    return set(settings.model_fields) if settings else set()


def checked(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """A kind's own hyperparameters, validated, with defaults; pydantic's error if they fail."""
    settings = kind(name).settings
    return settings.model_validate(values).model_dump(mode="json") if settings else {}
