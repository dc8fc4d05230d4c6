"""Imports that take seconds: torch, Tune and what builds on them.

Python looks for garbage again and again while modules are made, which are none: a fifth of the
time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is looked through for garbage inside, nor, ever after, what was made inside."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
