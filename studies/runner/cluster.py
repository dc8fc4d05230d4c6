"""A Ray to run on: the cluster of the job, the one at `--address`, or one of our own."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import RayTaskError

import studies.workers.environment  # noqa: F401  # before Ray starts
from studies.errors import StudyError
from studies.runner import folders, preflight
from studies.runner.address import cluster_address
from studies.runner.cores import usable_cores
from studies.runner.interrupts import StopRequest
from studies.runner.settings import Settings
from studies.workers.replacing import Replacement, replaced

# What a worker needs seconds to import. The first does it all, where workers find it at once; the
# code of a study that is not installed reaches them later.
PRELOADED = "studies.workers.preload,torch,ray.tune"
NODE_CHECK_S = 25.0
START_ATTEMPTS = 4


def _nothing(*args: Any, **options: Any) -> None:
    """What a part of Ray does that is left out."""


def _no_dashboard(node: Any, **options: Any) -> None:
    """Leave an address behind all the same: Ray's agent would log every second that none is there.

    A Ray that does this in another way merely logs.
    """
    with suppress(Exception):
        node.get_gcs_client().internal_kv_put(b"dashboard", b"127.0.0.1:0", True, b"dashboard")


ALONE: tuple[Replacement, ...] = (
    ("ray._private.utils", "set_sigterm_handler", _nothing),  # theirs waits for half a minute
    ("ray._private.node:Node", "start_monitor", _nothing),  # adds nodes to a cluster
    ("ray._private.node:Node", "start_api_server", _no_dashboard),  # the dashboard, and jobs
    ("ray._private.node:Node", "start_log_monitor", _nothing),  # for `log_to_driver`
    # the agent that Ray's own daemon insists on: as small as without `ray[default]`
    ("ray._private.utils", "get_dashboard_dependency_error", ImportError),
)
"""What a Ray of one study on one machine starts without: a second, and three processes."""


def is_own(settings: Settings) -> bool:
    """Whether the study runs on a Ray of its own: one node, this one."""
    return cluster_address(settings) is None


def keeps_workers_ready(settings: Settings) -> bool:
    """Whether Ray's workers import what trains before they are asked to train.

    Not for GPUs: a worker there lives as long as the study, so a few seconds are nothing.
    """
    return is_own(settings) and not settings.gpus


@contextmanager
def connected(
    settings: Settings, stop: StopRequest, cpus: int, say: Callable[[str], None]
) -> Iterator[None]:
    """Connect, or start a Ray of `cpus` CPUs; trials that still run at the end end with it."""
    address = cluster_address(settings)
    try:
        if address is None:
            _start_own(settings, stop, cpus, say)
        else:
            _connect(address)
        yield
    finally:
        ray.shutdown()


def _start_own(
    settings: Settings, stop: StopRequest, cpus: int, say: Callable[[str], None]
) -> None:
    preflight.local_gpus(settings.gpus)
    if keeps_workers_ready(settings):
        os.environ.setdefault("RAY_preload_python_modules", PRELOADED)
    folder, remark = folders.session_folder()
    if remark:
        say(f"note: {remark}")
    folders.provide_token()
    _start_local(cpus, settings.gpus, folder, stop)


def release(settings: Settings) -> None:
    """Training is over: a Ray of our own need not start workers anew for what comes after."""
    if is_own(settings):
        ray.shutdown()


def _start_local(cpus: int, gpus: int, folder: Path, stop: StopRequest) -> None:
    """A Ray of our own. Ray gives its start 30 s, which a busy machine may need more than once."""
    mine = psutil.Process()
    others = set(mine.children(recursive=True))

    def abandon() -> None:
        for process in set(mine.children(recursive=True)) - others:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    for left in reversed(range(START_ATTEMPTS)):
        try:
            with stop.entire(abandon), replaced(ALONE):
                ray.init(
                    address="local",  # not a cluster that happens to run here, unknown to us
                    num_cpus=cpus,
                    num_gpus=gpus,
                    _temp_dir=str(folder),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            return
        except Exception as error:  # Ray raises nothing more specific
            abandon()
            stop.check()
            if not left:
                first = (str(error).splitlines() or [""])[0]
                raise StudyError(
                    f"Ray did not start in {START_ATTEMPTS} attempts ({first}): is the machine "
                    f"overloaded, or the disk of {folder} full? RAY_TMPDIR names another folder"
                ) from error


def _connect(address: str) -> None:
    """Raise PreflightError where no cluster answers; Ray alone would try for minutes."""
    host, _, port = address.rpartition(":")
    hint = "start one with `ray start --head`, or leave --address out"
    try:
        if port.isdigit() and "/" not in host:
            socket.create_connection((host.strip("[]"), int(port)), preflight.TIMEOUT_S).close()
            hint = (
                "something answers there: if the cluster wants a token, set RAY_AUTH_MODE=token "
                "and put its token into ~/.ray/auth_token"
            )
        with _muted():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise preflight.PreflightError(f"no Ray cluster at {address} ({first}); {hint}") from error


@contextmanager
def _muted() -> Iterator[None]:
    """Ray's C++ part warns of each of its retries, straight to file descriptor 2."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def check(settings: Settings, uri: str) -> None:
    """The cluster can run this study on every node; raises PreflightError."""
    if is_own(settings):
        return  # it has what it was started with, and the checks before have seen this node
    per_trial = settings.threads * max(settings.gpus, 1)
    preflight.cluster_has(
        ray.cluster_resources(), settings.gpus, max(settings.cpus or 0, per_trial)
    )
    if cores(settings) < settings.threads:
        raise preflight.PreflightError(
            f"--threads is {settings.threads}, but no node of the cluster has as many CPUs; give "
            "fewer"
        )
    if settings.dry_run and settings.address:
        preflight.upload_fits(Path.cwd())  # a job, in which no address is given, has passed that
    storage = str(settings.storage.absolute())
    marker = f".shared-{uuid.uuid4().hex}"
    path = Path(storage) / marker
    path.write_bytes(b"x")
    try:
        preflight.judge_nodes(_ask_nodes(storage, marker, uri), uri)
    finally:
        path.unlink()


def _ask_nodes(storage: str, marker: str, uri: str) -> dict[str, dict[str, object]]:
    """The facts of every node that has a CPU to train on."""
    task = ray.remote(num_cpus=0)(preflight.node_facts)
    pending = {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("CPU"):
            strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                node["NodeID"], soft=False
            )
            address = f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"
            pending[address] = task.options(scheduling_strategy=strategy).remote(
                storage, marker, uri
            )
    _done, late = ray.wait(list(pending.values()), num_returns=len(pending), timeout=NODE_CHECK_S)
    if late:
        silent = [address for address, reference in pending.items() if reference in late]
        raise preflight.PreflightError(
            f"node {silent[0]} did not answer within {NODE_CHECK_S:.0f} s: look at it, or remove it"
        )
    return {address: _answer(address, reference) for address, reference in pending.items()}


def _answer(node: str, reference: Any) -> dict[str, object]:
    try:
        facts: dict[str, object] = ray.get(reference)
    except RayTaskError as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        raise preflight.PreflightError(
            f"node {node} cannot run this program ({last}): submit with --working-dir . or install "
            "the same version everywhere"
        ) from error
    return facts


def cores(settings: Settings) -> int:
    """Cores to train on: this process's, or of a cluster those that whole trials can have."""
    if is_own(settings):
        return usable_cores()
    alive = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return sum(int(cpus // settings.threads) * settings.threads for cpus in alive)
