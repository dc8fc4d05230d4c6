"""How a trial minimises."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["fp32", "tf32", "bf16"]


class OptimiserConfig(BaseModel):
    """The optimiser's rule, its rate and its batches."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    algorithm: Literal["adam", "adamw"] = Field("adam", alias="optimizer")
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    lr_schedule: Literal["constant", "cosine", "plateau"] = "constant"
    batch_size: int = Field(128, ge=1)
    precision: Precision = Field(
        "fp32", description="of the products in training and validation; tf32 is fp32 on a CPU"
    )
