"""What is measured of a trial, and on which noise."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vae_trainables.config.noise import NoiseKind

Evaluation = Literal["probe", "frechet"]
ClassSource = Literal["given", "predicted"]


class EvaluationConfig(BaseModel):
    """The noise of the evaluation, the same for all trials of a study, and the costlier extras."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    noise_kind: NoiseKind = Field(
        "gaussian", alias="eval_noise_kind", description="as `noise_kind`, of the evaluation"
    )
    noise_factor: float = Field(
        0.45,
        alias="eval_noise_factor",
        ge=0,
        le=1,
        description="noise of the evaluation, the same for all trials of a study",
    )
    extras: tuple[Evaluation, ...] = Field(
        (), alias="evaluations", description="costlier extras after each epoch"
    )
    class_source: ClassSource = Field(
        "given",
        description="whence a conditional kind has the classes of the images that it is evaluated "
        "on: the true ones, or predicted from the noisy image by a classifier of this project",
    )
    iw_samples: int = Field(
        64, ge=1, description="posterior samples per image, k, of the bound on log p(x)"
    )
    iw_images: int | None = Field(
        None, ge=1, description="first N test images of that bound; None = what the kind affords"
    )
