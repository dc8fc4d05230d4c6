"""The one configuration type of a trial: every setting that changes what is trained, validated.

A setting belongs here if and only if changing it may change a trained weight or a reported number.
Where and how a study runs (workers, storage, tracker) belongs to the runner's settings.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

ModelKind = Literal[
    "mlp_ae", "mlp_vae", "conv_ae", "conv_vae", "res_conv_vae", "cond_conv_vae", "hier_conv_vae"
]
LikelihoodKind = Literal["bernoulli", "continuous_bernoulli", "gaussian", "sigma"]
NoiseKind = Literal["gaussian", "salt_pepper", "masking", "poisson"]
BetaSchedule = Literal["constant", "linear", "cosine", "sigmoid", "cyclical"]
Evaluation = Literal["probe", "frechet"]
Precision = Literal["fp32", "bf16"]
PUBLISHED_SETS = ("fashion-mnist", "mnist", "digits")
"""Data sets that a configuration's defaults fit: 28 × 28 grey pixels, ten classes."""
SIDES = (8, 128)  # pixels, least and most


class ModelConfig(BaseModel):
    """What `vae_trainables.models.build` needs to know; weights fit exactly one ModelConfig."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ModelKind = "conv_vae"
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
    def variational(self) -> bool:
        """False for plain autoencoders: no posterior variance, no KL, no prior to sample."""
        return not self.kind.endswith("_ae")


class TrialConfig(ModelConfig):
    """A trial: one model trained once on one data set with one seed."""

    dataset: str = "fashion-mnist"
    train_size: int | None = Field(None, ge=1, description="first N training images; None = all")

    noise_kind: NoiseKind = "gaussian"
    noise_factor: float = Field(0.0, ge=0, le=1, description="training noise; 0 = clean input")
    noise_factor_max: float | None = Field(
        None, ge=0, le=1, description="if set, each image draws from [noise_factor, this]"
    )

    recon_term: Literal["nll", "mse", "l1"] = Field("nll", description="summed over pixels")
    ssim_weight: float = Field(0.0, ge=0, description="adds ssim_weight * (1 - SSIM) per image")
    edge_weight: float = Field(0.0, ge=0, description="adds edge_weight * L1 of image gradients")
    beta: float = Field(1.0, ge=0, description="largest weight of the KL, nats per image")
    beta_schedule: BetaSchedule = "linear"
    warmup_epochs: int = Field(0, ge=0, description="epochs (or period, cyclical) of the schedule")
    free_bits: float = Field(0.0, ge=0, description="nats per latent dimension without penalty")
    kl_target: float | None = Field(None, ge=0, description="penalise |KL - target| instead of KL")
    supcon_gamma: float = Field(0.0, ge=0, description="weight of SupCon on z_mean")
    supcon_temperature: float = Field(0.1, gt=0)

    optimizer: Literal["adam", "adamw"] = "adam"
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    lr_schedule: Literal["constant", "cosine", "plateau"] = "constant"
    batch_size: int = Field(128, ge=1)
    precision: Precision = Field("fp32", description="of the products in training and validation")
    epochs: int = Field(20, ge=1)
    patience: int = Field(0, ge=0, description="early stopping in epochs after warm-up; 0 = off")

    eval_noise_kind: NoiseKind = "gaussian"
    eval_noise_factor: float = Field(
        0.45, ge=0, le=1, description="noise of the evaluation, the same for all trials of a study"
    )
    evaluations: tuple[Evaluation, ...] = Field((), description="costlier extras after each epoch")

    seed: int = Field(0, ge=0, lt=2**31)
    threads: int = Field(1, ge=1, description="CPU threads; other counts give other bits")

    @model_validator(mode="after")
    def _consistent(self) -> TrialConfig:
        if self.noise_factor_max is not None and self.noise_factor_max < self.noise_factor:
            raise ValueError("noise_factor_max must be at least noise_factor")
        return self

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> TrialConfig:
        """The configuration whose fields a tracker keeps as text: JSON, or a word as it is."""
        return cls.model_validate({name: _value(text) for name, text in texts.items()})

    def fingerprint(self) -> str:
        """Hash of everything but the seed: trials with equal fingerprints are repeats."""
        return stable_hash(self.model_dump(mode="json", exclude={"seed"}))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def stable_hash(value: Any) -> str:
    """16 hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
