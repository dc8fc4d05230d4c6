"""Private names of Ray and Tune: there in the release we run on, and back in place afterwards."""

from __future__ import annotations

import logging
import mmap
from pathlib import Path

import psutil
import pytest
import ray

from studies.runner import cluster
from studies.workers import tuning
from studies.workers.replacing import found, replaced

ALL = (*cluster.ALONE, *tuning.WAITING, *tuning.UNCOUNTED)


@pytest.mark.parametrize(("where", "name"), [entry[:2] for entry in ALL])
def test_the_name_is_there_in_this_release(where: str, name: str) -> None:
    assert found(where, name)


def test_a_name_is_back_in_place_however_it_ends() -> None:
    before = logging.Logger.info

    def interrupted() -> None:
        with replaced([("logging:Logger", "info", None)]):
            assert logging.Logger.info is None
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert logging.Logger.info is before


@pytest.mark.parametrize(
    "where", ["logging", "logging:Logger", "logging:Missing", "logging.missing", "no_such_package"]
)
def test_a_release_without_the_name_is_left_as_it_is(where: str) -> None:
    with replaced([(where, "no_such_name", None)]):
        assert not hasattr(logging, "no_such_name")
    assert not found(where, "no_such_name")


@pytest.mark.slow
def test_a_ray_alone_works_without_the_processes_it_does_not_need() -> None:
    with replaced(cluster.ALONE):
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        children = psutil.Process().children(recursive=True)
        commands = [" ".join(child.cmdline()) for child in children]
        for program in ("dashboard/dashboard.py", "monitor.py"):
            assert not [command for command in commands if program in command]
        assert ray.get(ray.remote(lambda: 7).remote()) == 7
        logs = Path(ray._private.worker._global_node.get_logs_dir_path())
        assert "address failed" not in (logs / "dashboard_agent.log").read_text()
    finally:
        ray.shutdown()


def test_ray_still_reads_the_setting_that_makes_workers_import_ahead() -> None:
    """`RAY_<name>` is heard only where Ray's own configuration has the name."""
    with Path(ray._raylet.__file__).open("rb") as file:
        library = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for name in ("preload_python_modules", "raylet_start_wait_time_s"):
        assert library.find(name.encode()) >= 0, name
    assert library.find(b"no_such_setting_of_ray") < 0
