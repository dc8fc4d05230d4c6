"""What is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vae_trainables import kinds
from vae_trainables.config.refusal import refuse

LikelihoodKind = Literal["bernoulli", "continuous_bernoulli", "gaussian", "sigma"]
SIDES = (8, 128)  # pixels, least and most


class ModelConfig(BaseModel):
    """What `vae_trainables.models.build` needs to know; weights fit exactly one ModelConfig.

    The hyperparameters that an own kind has for itself are always there (`own`).
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Any]

    kind: str = Field("conv_vae", description="see `vae_trainables.kinds`, or a file's own")
    image_size: int | tuple[int, int] = Field(
        28, description="height = width, or (height, width), pixels"
    )
    channels: Literal[1, 3] = 1
    latent_dim: int = Field(16, ge=1, le=1024)
    hidden: tuple[int, ...] = Field((400,), description="hidden widths of the MLP kinds")
    widths: tuple[int, ...] = Field((32, 64, 128), description="channels per stage, conv kinds")
    width: float = Field(1.0, gt=0, le=16, description="multiplies hidden and widths: capacity")
    blocks: int = Field(2, ge=1, le=16, description="residual blocks per stage (res, hier)")
    num_classes: int = Field(10, ge=2, description="classes that cond_conv_vae conditions on")
    likelihood: LikelihoodKind = "bernoulli"
    gaussian_std: float = Field(1.0, gt=0, description="fixed std of the gaussian likelihood")

    @model_validator(mode="before")
    @classmethod
    def _with_own(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        kind = settings.get("kind", cls.model_fields["kind"].default)
        strange = settings.keys() - cls.model_fields.keys()
        own = kinds.own_settings(kind)
        if not strange and not own:
            return settings
        strange -= own
        refuse({name: (settings[name], f"{kind} has no {name!r}") for name in sorted(strange)})
        return {
            **settings,
            **_checked(kind, {name: settings[name] for name in own & settings.keys()}),
        }

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        kinds.kind(kind)
        return kind

    @field_validator("image_size")
    @classmethod
    def _square_is_one_number(cls, size: int | tuple[int, int]) -> int | tuple[int, int]:
        """Equal configurations have equal fingerprints."""
        sides = (size,) if isinstance(size, int) else size
        if not all(SIDES[0] <= side <= SIDES[1] for side in sides):
            raise ValueError(f"sides go from {SIDES[0]} to {SIDES[1]} pixels")
        return size[0] if isinstance(size, tuple) and size[0] == size[1] else size

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        size = self.image_size
        height, width = (size, size) if isinstance(size, int) else size
        return self.channels, height, width

    @property
    def pixels(self) -> int:
        """Values per image: C · H · W."""
        return math.prod(self.image_shape)

    @property
    def own(self) -> dict[str, Any]:
        """The kind's own hyperparameters by name."""
        return dict(sorted(self.__pydantic_extra__.items()))

    @property
    def variational(self) -> bool:
        """False for plain autoencoders: no posterior variance, no KL, no prior to sample."""
        return kinds.kind(self.kind).variational

    @property
    def conditional(self) -> bool:
        """True where the model is told the class of what it encodes and decodes."""
        return kinds.kind(self.kind).conditional


def _checked(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """A model's own hyperparameters, checked by its class; defaults where none are given."""
    if kind not in kinds.KINDS:  # the kind itself is refused
        return values
    try:
        return kinds.checked(kind, values)
    except ValidationError as error:
        refuse({str(e["loc"][0]): (e["input"], e["msg"]) for e in error.errors()})
        raise
