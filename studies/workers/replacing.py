"""Names inside Ray and Tune that are replaced for a while, where there is no setting."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Replacement = tuple[str, str, Any]
"""Where (`package.module` or `package.module:Class`), the name there, what it is meanwhile."""


@contextmanager
def replaced(replacements: Iterable[Replacement]) -> Iterator[None]:
    """Meanwhile the names have other values.

    The names are private: a release that has renamed one does what it does without us.
    """
    before: list[tuple[Any, str, Any]] = []
    try:
        for where, name, value in replacements:
            if found(where, name):
                owner = pkgutil.resolve_name(where)
                before.append((owner, name, getattr(owner, name)))
                setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def found(where: str, name: str) -> bool:
    """Whether this release has the name there."""
    try:
        return hasattr(pkgutil.resolve_name(where), name)
    except (ImportError, AttributeError):
        return False
