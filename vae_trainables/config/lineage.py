"""Settings that held until an epoch, where they were changed while a trial was trained.

Population based training lets a trial go on from another's weights with settings of its own
(Jaderberg et al. 2017). What came before is part of the configuration: with it the trial can be
trained from its first epoch, to the same bits, with other seeds too.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

LIVE = frozenset(
    {
        "lr", "weight_decay", "beta", "free_bits", "noise_factor", "noise_factor_max",
        "supcon_gamma", "supcon_temperature", "ssim_weight", "edge_weight",
    }
)  # fmt: skip
"""Settings that may change between two epochs, beside those that own loss terms have declared."""


class Stretch(BaseModel):
    """Epochs up to and with `until`, and what held in them instead of what held afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: int = Field(ge=1, description="the last epoch, counted from 1")
    settings: dict[str, float]
