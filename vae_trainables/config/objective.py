"""What a trial minimises, and what loss terms of users' files have added to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vae_trainables.config.refusal import refuse
from vae_trainables.config.vocabulary import Vocabulary

BETA_SCHEDULES = Vocabulary("β schedule", "constant", "linear", "cosine", "sigmoid", "cyclical")
BetaSchedule = Annotated[str, AfterValidator(BETA_SCHEDULES.checked)]
"""One of `BETA_SCHEDULES`; how each rises stands in `training.schedules`."""

DECLARED: dict[str, float] = {}
"""Settings that loss terms from users' files have added, and the least value of each."""


class ObjectiveConfig(BaseModel):
    """The terms of the loss and their weights.

    What own loss terms have declared may be given like any other setting, and is a number.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, float]

    recon_term: Literal["nll", "mse", "l1"] = Field("nll", description="summed over pixels")
    ssim_weight: float = Field(0.0, ge=0, description="adds ssim_weight * (1 - SSIM) per image")
    edge_weight: float = Field(0.0, ge=0, description="adds edge_weight * L1 of image gradients")
    beta: float = Field(1.0, ge=0, description="largest weight of the KL, nats per image")
    beta_schedule: BetaSchedule = Field("linear", description="one of " + ", ".join(BETA_SCHEDULES))
    warmup_epochs: int = Field(0, ge=0, description="epochs (or period, cyclical) of the schedule")
    free_bits: float = Field(0.0, ge=0, description="nats per latent dimension without penalty")
    kl_target: float | None = Field(None, ge=0, description="penalise |KL - target| instead of KL")
    supcon_gamma: float = Field(0.0, ge=0, description="weight of SupCon on z_mean")
    supcon_temperature: float = Field(0.1, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _with_declared(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        own = settings.keys() - cls.model_fields.keys()
        if not own:
            return settings
        refuse({name: (settings[name], unknown(name)) for name in sorted(own - DECLARED.keys())})
        return {**settings, **{name: _number(name, settings[name]) for name in own}}

    @property
    def own(self) -> dict[str, float]:
        """What own loss terms have declared and this configuration gives, by name."""
        return dict(self.__pydantic_extra__)


def unknown(name: str) -> str:
    """What to say of a setting that nothing reads."""
    own = f"; loss terms have added {', '.join(sorted(DECLARED))}" if DECLARED else ""
    return (
        f"{name!r} is not permitted: neither a setting of a trial nor the weight of a "
        f"registered loss term{own}"
    )


def _number(name: str, value: Any) -> float:
    """A declared number, which must not be below its least."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number >= DECLARED[name]:
        refuse({name: (value, f"must be a number of at least {DECLARED[name]}")})
    return number
