"""What is wrong with data, in one line for the user."""

from __future__ import annotations


class DataError(ValueError):
    """Data that is missing or is not what it should be; says what was expected and found."""
