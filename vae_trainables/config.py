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

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from vae_trainables import kinds

LikelihoodKind = Literal["bernoulli", "continuous_bernoulli", "gaussian", "sigma"]
NoiseKind = Literal["gaussian", "salt_pepper", "masking", "poisson"]
BetaSchedule = Literal["constant", "linear", "cosine", "sigmoid", "cyclical"]
Evaluation = Literal["probe", "frechet"]
Precision = Literal["fp32", "tf32", "bf16"]
ClassSource = Literal["given", "predicted"]
PUBLISHED_SETS = ("fashion-mnist", "mnist", "digits")
"""Data sets that a configuration's defaults fit: 28 × 28 grey pixels, ten classes."""
SIDES = (8, 128)  # pixels, least and most


class ModelConfig(BaseModel):
    """What `vae_trainables.models.build` needs to know; weights fit exactly one ModelConfig."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
        extra = self.model_extra or {}
        return {n: extra[n] for n in sorted(kinds.own_settings(self.kind)) if n in extra}

    @property
    def variational(self) -> bool:
        """False for plain autoencoders: no posterior variance, no KL, no prior to sample."""
        return kinds.kind(self.kind).variational

    @property
    def conditional(self) -> bool:
        """True where the model is told the class of what it encodes and decodes."""
        return kinds.kind(self.kind).conditional


_DECLARED: dict[str, float] = {}
"""Settings that loss terms from users' files have added, and the least value of each."""


def declare(name: str, *, least: float = -math.inf) -> None:
    """Let configurations have one more setting: a number `name`, at least `least`.

    Raises ValueError for a name that is no identifier or that a setting of `TrialConfig` has.
    """
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError(f"a setting is named like a variable of Python, not {name!r}")
    if hasattr(TrialConfig, name) or name in TrialConfig.model_fields:
        raise ValueError(f"TrialConfig has a setting {name!r} already: give yours another name")
    _DECLARED[name] = least


def require_declared(config: TrialConfig) -> None:
    """ValueError for a setting that nothing reads, which `model_copy` lets pass."""
    for name in config.model_extra or {}:
        if name not in _DECLARED.keys() | kinds.own_settings(config.kind):
            raise ValueError(_unknown(name))


def _unknown(name: str) -> str:
    own = f"; loss terms have added {', '.join(sorted(_DECLARED))}" if _DECLARED else ""
    return (
        f"{name!r} is not permitted: neither a setting of a trial nor the weight of a "
        f"registered loss term{own}"
    )


def _refuse(wrong: Mapping[str, tuple[Any, str]]) -> None:
    """Raise for settings by name, each with its value and what is wrong, if there are any."""
    errors: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError("setting", "{text}", {"text": text}),
            "loc": (name,),
            "input": value,
        }
        for name, (value, text) in wrong.items()
    ]
    if errors:
        raise ValidationError.from_exception_data("TrialConfig", errors)


def _weight(name: str, value: Any) -> float:
    """A declared number, which must not be below its least."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number >= _DECLARED[name]:
        _refuse({name: (value, f"must be a number of at least {_DECLARED[name]}")})
    return number


def _own_settings(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """A model's own hyperparameters, checked by its class; defaults where none are given."""
    if kind not in kinds.KINDS:  # the kind itself is refused
        return values
    try:
        return kinds.checked(kind, values)
    except ValidationError as error:
        _refuse({str(e["loc"][0]): (e["input"], e["msg"]) for e in error.errors()})
        raise


class TrialConfig(ModelConfig):
    """A trial: one model trained once on one data set with one seed.

    What own loss terms and own models have declared may be given like any other setting: weights
    are numbers and attributes where they are given, a model's hyperparameters always there (`own`).
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Any]

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
    precision: Precision = Field(
        "fp32", description="of the products in training and validation; tf32 is fp32 on a CPU"
    )
    epochs: int = Field(20, ge=1)
    patience: int = Field(0, ge=0, description="early stopping in epochs after warm-up; 0 = off")
    watch: str = Field(
        "val/neg_elbo",
        pattern="^val/.",
        description="metric that plateau and patience watch; a search sets its objective",
    )
    watch_direction: Literal["minimize", "maximize"] = "minimize"

    eval_noise_kind: NoiseKind = "gaussian"
    eval_noise_factor: float = Field(
        0.45, ge=0, le=1, description="noise of the evaluation, the same for all trials of a study"
    )
    evaluations: tuple[Evaluation, ...] = Field((), description="costlier extras after each epoch")
    class_source: ClassSource = Field(
        "given",
        description="whence a conditional kind has the classes of the images that it is evaluated "
        "on: the true ones, or predicted from the noisy image by a classifier of this project",
    )

    seed: int = Field(0, ge=0, lt=2**31)
    threads: int = Field(1, ge=1, description="CPU threads; other counts give other bits")

    @model_validator(mode="wrap")
    @classmethod
    def _declared(cls, given: Any, handler: Any) -> TrialConfig:
        if isinstance(given, Mapping):
            given = cls._with_own(given)
        config: TrialConfig = handler(given)
        return config

    @classmethod
    def _with_own(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        kind = given.get("kind", cls.model_fields["kind"].default)
        own = kinds.own_settings(kind)
        strange = given.keys() - cls.model_fields.keys() - _DECLARED.keys() - own
        _refuse({name: (given[name], _unknown(name)) for name in sorted(strange)})
        weights = {name: _weight(name, given[name]) for name in _DECLARED.keys() & given.keys()}
        settings = _own_settings(kind, {name: given[name] for name in own & given.keys()})
        return {**given, **weights, **settings}

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
