"""Whether data fits into memory: asked before any of it is decoded."""

from __future__ import annotations

from pathlib import Path

from vae_trainables.datasets.errors import DataError

SHARE = 0.5  # of what is free: a study holds the images more than once, and trains beside them
_CGROUP = Path("/sys/fs/cgroup")


def require(size: int, what: str) -> None:
    """Raise DataError if `size` bytes of decoded images are more than there is room for."""
    limit = int(free() * SHARE)
    if size > limit:
        raise DataError(
            f"{what} would take {gib(size)} of memory, and the limit here is {gib(limit)} (half "
            "of what is free): take fewer images, smaller ones (--resize), or a larger machine"
        )


def free() -> int:
    """Bytes that this process may still take, a container's limit considered."""
    import psutil

    available = int(psutil.virtual_memory().available)
    try:
        most = int((_CGROUP / "memory.max").read_text())
        return min(available, most - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return available


def gib(size: int) -> str:
    """Bytes in words."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"
