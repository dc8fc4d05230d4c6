"""What every crash test needs: a study in a folder of its own, and no process left behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.crash.harness import Study, wait_until
from tests.crash.servers import Cluster, MlflowServer


@pytest.fixture
def ray_folder() -> Iterator[str]:
    """Short, because the paths of Unix sockets are; nothing may run in it in the end."""
    folder = tempfile.mkdtemp(prefix="vsc-", dir="/tmp")
    yield folder
    try:
        wait_until(lambda: not running_in(folder), f"the end of Ray in {folder}", 60)
    finally:
        for process in running_in(folder):
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def running_in(folder: str) -> list[psutil.Process]:
    """Processes that name the folder in their command line."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(folder in part for part in process.info["cmdline"] or [])
    ]


@pytest.fixture
def make_study(tmp_path: Path, ray_folder: str) -> Iterator[Callable[..., Study]]:
    """Makes the test's study; its drivers are ended with the test."""
    made: list[Study] = []

    def make(*flags: str, **options: Any) -> Study:
        storage = tmp_path / "storage"
        storage.mkdir(exist_ok=True)
        made.append(Study(storage, ray_folder, flags=list(flags), **options))
        return made[-1]

    yield make
    for study in made:
        study.end_all()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    """A running `mlflow server`."""
    server = MlflowServer(tmp_path / "server")
    yield server
    server.kill()


@pytest.fixture
def cluster(tmp_path: Path, ray_folder: str) -> Iterator[Cluster]:
    """A cluster that has only its head, with one CPU."""
    cluster = Cluster(tmp_path / "cluster", ray_folder)
    try:
        cluster.add()
        yield cluster
    finally:
        cluster.end()
