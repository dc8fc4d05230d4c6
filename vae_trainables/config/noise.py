"""What is added to the images that a trial is trained on."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vae_trainables.config.vocabulary import Vocabulary

NOISE_KINDS = Vocabulary("noise kind", "gaussian", "salt_pepper", "masking", "poisson")
NoiseKind = Annotated[str, AfterValidator(NOISE_KINDS.checked)]
"""One of `NOISE_KINDS`; what each does stands in `datasets.noise`."""


class NoiseConfig(BaseModel):
    """The corruption of training images, as `vae_trainables.datasets.noise` has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    kind: NoiseKind = Field(
        "gaussian", alias="noise_kind", description="one of " + ", ".join(NOISE_KINDS)
    )
    factor: float = Field(
        0.0, alias="noise_factor", ge=0, le=1, description="training noise; 0 = clean input"
    )
    factor_max: float | None = Field(
        None,
        alias="noise_factor_max",
        ge=0,
        le=1,
        description="if set, each image draws from [noise_factor, this]",
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> NoiseConfig:
        if self.factor_max is not None and self.factor_max < self.factor:
            raise ValueError("noise_factor_max must be at least noise_factor")
        return self
