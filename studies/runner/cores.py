"""The CPU cores that this process may use: fewer than the machine has, in a container or a job."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Cores of this process's affinity, or what its control groups give it if that is less.

    A share of a core counts as one: 1.5 cores keep two workers busy three quarters of the time.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Cores that each control group above this process allows; none where none is limited."""
    mounts = root / "sys/fs/cgroup"
    for controllers, path in _memberships(root):
        for folder in _upwards(path):
            if not controllers:
                for mount in (mounts, mounts / "unified"):
                    yield from _quota(mount / folder / "cpu.max")
            elif "cpu" in controllers.split(","):
                for mount in (mounts / controllers, mounts / "cpu"):
                    yield from _old_quota(mount / folder)


def _memberships(root: Path) -> Iterator[tuple[str, str]]:
    """Controllers ("" for version 2) and the group's path, of each of its hierarchies."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _number, controllers, path = line.split(":", 2)
            yield controllers, path.lstrip("/")


def _upwards(path: str) -> list[PurePosixPath]:
    """The group and those that contain it: each may have a limit of its own."""
    return [PurePosixPath(path), *PurePosixPath(path).parents]


def _quota(file: Path) -> Iterator[float]:
    """Version 2: `cpu.max` holds quota and period, or "max" and the period."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = file.read_text().split()
        yield int(quota) / int(period)  # "max" is no number: no limit


def _old_quota(folder: Path) -> Iterator[float]:
    """Version 1: two files; a quota of -1 is no limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            yield quota / int((folder / "cpu.cfs_period_us").read_text())
