"""The cores that a process may use, by its affinity and its control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from studies.runner.cores import usable_cores


def machine(root: Path, membership: str, files: dict[str, str]) -> Path:
    """A file system with `/proc/self/cgroup` and files below `/sys/fs/cgroup`."""
    for name, text in {"proc/self/cgroup": membership, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("", {}, 8),
        ("0::/\n", {f"{V2}/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {f"{V2}/cpu.max": "300000 100000\n"}, 3),  # a container's own view
        ("0::/\n", {f"{V2}/cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {f"{V2}/cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {f"{V2}/cpu.max": "9900000 100000\n"}, 8),
        ("0::/a/b\n", {f"{V2}/a/b/cpu.max": "max 1\n", f"{V2}/a/cpu.max": "4 1\n"}, 4),
        ("0::/gone\n", {f"{V2}/cpu.max": "4 1\n"}, 4),  # the host's path, not mounted here
        ("0::/\n", {f"{V2}/unified/cpu.max": "4 1\n"}, 4),
        ("0::/\n", {f"{V2}/cpu.max": "4 0\n"}, 8),
        (
            "4:cpu,cpuacct:/j\n",
            {f"{V1}/j/cpu.cfs_quota_us": "200000", f"{V1}/j/cpu.cfs_period_us": "100000"},
            2,
        ),
        (
            "4:cpu,cpuacct:/\n",
            {f"{V1}/cpu.cfs_quota_us": "-1", f"{V1}/cpu.cfs_period_us": "100000"},
            8,
        ),
        ("4:cpuset:/\n", {"sys/fs/cgroup/cpuset/cpu.cfs_quota_us": "1"}, 8),
    ],
)
def test_a_container_or_job_that_may_use_fewer_cores_than_there_are(
    tmp_path: Path,
    membership: str,
    files: dict[str, str],
    cores: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert usable_cores(machine(tmp_path, membership, files)) == cores


def test_the_affinity_counts_and_not_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5})
    assert usable_cores() == 1
