"""A line of the doctor's page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "slower", "wrong", "failed"]


@dataclass(frozen=True)
class Line:
    """What one check has found."""

    name: str
    status: Status
    detail: str
    model: str = ""
    """Of `checks.MODELS`, where trials were trained."""
    way: str = ""
    """How they were: "alone", "fast", "un-captured", "eager" or "im2col"."""
    slots: int = 0
    images_per_s: float = 0.0
    mb_per_slot: float = 0.0
