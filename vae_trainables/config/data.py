"""Which images a trial is trained on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

PUBLISHED_SETS = ("fashion-mnist", "mnist", "digits")
"""Data sets that a configuration's defaults fit: 28 × 28 grey pixels, ten classes."""


class DataConfig(BaseModel):
    """The data set, by its name or path, and how much of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = "fashion-mnist"
    train_size: int | None = Field(None, ge=1, description="first N training images; None = all")
