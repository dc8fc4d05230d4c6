"""Real servers on this machine: `mlflow server`, and Ray nodes as `ray start` makes them.

Each can be killed and started again; each ends only what it started itself.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tests.crash.harness import ROOT, wait_until

BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A command with all its descendants."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command,
                env=os.environ | env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.log = log

    def kill(self) -> None:
        """SIGKILL to all of it at once; nothing if it has ended."""
        if self.process.poll() is not None:
            return
        first = psutil.Process(self.process.pid)
        family = [first, *first.children(recursive=True)]
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()
        psutil.wait_procs(family[1:], timeout=60)


class MlflowServer:
    """`mlflow server` with proxied artifacts, the same files and the same port after each start."""

    def __init__(self, folder: Path, *, workers: int = 1, database: str = "") -> None:
        """database: the address of one that is there; without, a sqlite file in `folder`."""
        folder.mkdir(exist_ok=True)
        self.folder, self.port, self.workers = folder, free_port(), workers
        self.database = database or f"sqlite:///{folder}/server.db"
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: Process | None = None
        self.start()

    def start(self) -> None:
        """Returns when it answers."""
        command = [
            *(str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", self.database, "--serve-artifacts"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
            *("--workers", str(self.workers)),
        ]
        env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else eight more import MLflow
        self.process = Process(command, env, self.folder / "server.log")
        wait_until(self.answers, "mlflow server answers")

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            with urllib.request.urlopen(f"{self.uri}/version", timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process = None


class Cluster:
    """A head and workers on this machine, with a token of their own."""

    def __init__(self, folder: Path, ray_folder: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.ray_folder = folder, ray_folder
        self.gcs, self.dashboard = free_port(), free_port()
        self.address = f"127.0.0.1:{self.gcs}"
        self.jobs = f"http://127.0.0.1:{self.dashboard}"
        self.nodes: list[Process] = []
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        self.env = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_TMPDIR": ray_folder,
            "RAY_raylet_start_wait_time_s": "180",
            "OMP_NUM_THREADS": "1",
        }

    def add(self, *, cpus: int = 1, env: dict[str, str] | None = None, prefix: str = "") -> Process:
        """Start a node, the head first; `prefix` is a shell command that goes before `ray`.

        Where that can be done, workers see a folder of Ray's of their own, as other machines do: in
        a common one each would unpack a job's code over that of the head, which imports from it.
        """
        role = (
            ["--address", self.address]
            if self.nodes
            else [
                *("--head", "--port", str(self.gcs), "--temp-dir", self.ray_folder),
                *("--dashboard-host", "127.0.0.1", "--dashboard-port", str(self.dashboard)),
                *("--ray-client-server-port", str(free_port())),
            ]
        )
        command = [
            *(str(BIN / "ray"), "start", *role, "--block", "--disable-usage-stats"),
            *("--num-cpus", str(cpus), "--dashboard-agent-listen-port", str(free_port())),
        ]
        log = self.folder / f"node-{len(self.nodes)}.log"
        views = [prefix] if prefix else []
        if self.nodes and os.geteuid() == 0:
            views.append(f"mount -t tmpfs none '{self.ray_folder}'")
        if views:
            shell = "; ".join([*views, 'exec "$@"'])
            command = ["unshare", "-m", "sh", "-c", shell, "sh", *command]
        node = Process(command, self.env | (env or {}), log)
        self.nodes.append(node)
        wait_until(
            lambda: "Ray runtime started" in log.read_text() or node.process.poll() is not None,
            f"node {len(self.nodes)} has joined",
        )
        assert node.process.poll() is None, log.read_text()
        return node

    def remove(self, node: Process) -> None:
        """Kill a node, and wait until the head has noticed."""
        node.kill()
        self.nodes.remove(node)
        wait_until(lambda: self.alive() == len(self.nodes), "the head has noticed a dead node")

    def alive(self) -> int:
        """Nodes that the head takes to be alive."""
        code = (
            "import ray, sys; ray.init(address=sys.argv[1], logging_level=40, "
            "log_to_driver=False); print(sum(node['Alive'] for node in ray.nodes()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, self.address],
            env=os.environ | self.env,
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout.split()[-1])

    def submit(
        self, name: str, entry: list[str], env: dict[str, str], folder: Path = ROOT
    ) -> list[str]:
        """The command that submits `entry`, and the code in `folder`, and waits for its end."""
        return [
            *(str(BIN / "ray"), "job", "submit", "--address", self.jobs, "--submission-id", name),
            *("--working-dir", str(folder), "--runtime-env-json", json.dumps({"env_vars": env})),
            *("--", *entry),
        ]

    def stop(self, name: str) -> None:
        """`ray job stop`."""
        command = [str(BIN / "ray"), "job", "stop", "--address", self.jobs, name]
        subprocess.run(command, env=os.environ | self.env, capture_output=True, check=True)

    def end(self) -> None:
        """Kill all nodes, the head last."""
        for node in reversed(self.nodes):
            node.kill()
