"""How this process's C library keeps memory that tensors have freed."""

from __future__ import annotations

import ctypes
import sys

MIB = 2**20
MMAP_THRESHOLD = 32 * MIB  # the most that glibc takes
TRIM_THRESHOLD = 256 * MIB
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Let the next training step have what this one frees, up to 256 MiB; whether that was done.

    By default glibc returns the activations of a convolutional model to the kernel after every
    step, and each page of the next step's is a page fault: 8 % of a step's time for R1
    (`python -m benchmarks.step_parts`). Does nothing where the C library is another.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    limits = ((_M_MMAP_THRESHOLD, MMAP_THRESHOLD), (_M_TRIM_THRESHOLD, TRIM_THRESHOLD))
    return all(mallopt(name, value) == 1 for name, value in limits)
