"""Which images a trial is trained on."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PUBLISHED_SETS = ("fashion-mnist", "mnist", "digits")
"""Data sets that a configuration's defaults fit: 28 × 28 grey pixels, ten classes."""
Binarise = Literal["none", "static", "dynamic"]
"""What each does stands in `datasets.binarising`."""


class DataConfig(BaseModel):
    """The data set, by its name or path, how much of it, and in which form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = "fashion-mnist"
    train_size: int | None = Field(None, ge=1, description="first N training images; None = all")
    binarise: Binarise = Field(
        "none",
        description="grey values as probabilities of black and white pixels: drawn once, or anew "
        "each epoch (validation and test images once)",
    )
