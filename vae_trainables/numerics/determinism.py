"""Convolutions whose bits do not depend on what else is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable_convolutions(only: bool = True) -> Iterator[None]:
    """Inside, cuDNN takes algorithms alone that give the same bits each time; any, if not `only`.

    The flag is the process's: it is put back, for whoever trains here afterwards.
    """
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = only
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before
