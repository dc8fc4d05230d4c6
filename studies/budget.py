"""`--budget`: what a search may spend, in time or in epochs, instead of a number of trials."""

from __future__ import annotations

import re
from dataclasses import dataclass

from studies.errors import InputError

_SECONDS = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_PART = r"(\d+(?:\.\d+)?)\s*(h|min|m|s)"
_FORMS = "give a time as 2h, 90min or 1h30m, or a number of epochs as 500epochs"


@dataclass(frozen=True)
class Budget:
    """One of the two is given.

    Attributes:
        seconds: of the search, while it runs: what a driver that died did until then counts, the
            time until it is started again does not.
        epochs: that all trials of the search train together.
    """

    text: str
    seconds: float | None = None
    epochs: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Raises InputError.

        >>> Budget.parse("1h30m").seconds, Budget.parse("500 epochs").epochs
        (5400.0, 500)
        """
        plain = text.strip().lower()
        if match := re.fullmatch(r"([1-9]\d{0,11})\s*epochs?", plain):
            return cls(text, epochs=int(match[1]))
        if not re.fullmatch(rf"(?:{_PART}\s*)+", plain):
            raise InputError(f"--budget is {text!r}; {_FORMS}")
        seconds = sum(float(n) * _SECONDS[unit] for n, unit in re.findall(_PART, plain))
        if not 1 <= seconds < 1e9:
            raise InputError(f"--budget is {text!r}, {seconds:g} s; it must be at least a second")
        return cls(text, seconds=seconds)
