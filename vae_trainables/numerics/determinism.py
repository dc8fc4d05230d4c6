"""Convolutions whose bits do not depend on what else is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable_convolutions() -> Iterator[None]:
    """Inside, cuDNN takes algorithms alone that give the same bits each time.

    The flag is the process's: it is put back, for whoever trains here afterwards.
    """
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before
