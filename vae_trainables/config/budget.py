"""For how long a trial trains."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class BudgetConfig(BaseModel):
    """Epochs, and what may end them earlier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(20, ge=1)
    patience: int = Field(0, ge=0, description="early stopping in epochs after warm-up; 0 = off")
    watch: str = Field(
        "val/neg_elbo",
        pattern="^val/.",
        description="metric that plateau and patience watch; a search sets its objective",
    )
    watch_direction: Literal["minimize", "maximize"] = "minimize"
