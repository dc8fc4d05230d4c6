"""What is said of an error where there is one line for it."""

from __future__ import annotations


def in_one_line(error: BaseException) -> str:
    """An error's type and the beginning of what it says."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
