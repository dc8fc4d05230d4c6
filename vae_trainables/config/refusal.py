"""Refusing settings whose names or values were checked here and not by pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


def refuse(wrong: Mapping[str, tuple[Any, str]]) -> None:
    """Raise ValidationError for settings by name, each with its value and what is wrong, if any."""
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
