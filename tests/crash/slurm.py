"""A SLURM cluster of this machine: a controller and two node daemons, each with one CPU.

Debian: slurm-wlm and munge. Everything lives in one folder and ends with the test.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.crash.harness import wait_until
from tests.crash.servers import Process, free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "srun")
FOLDERS = ("/usr/sbin", "/usr/bin")
needs_slurm = pytest.mark.skipif(
    os.geteuid() != 0
    or any(shutil.which(name, path=":".join(FOLDERS)) is None for name in PROGRAMS),
    reason="needs root, slurm-wlm and munge",
)

CONFIGURATION = """
ClusterName=crash
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=1
ReturnToService=2
JobRequeue=1
KillWait=60
SlurmdTimeout=600
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A running cluster; `env` is what its commands need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {"SLURM_CONF": str(folder / "slurm.conf"), "MUNGE_SOCKET": self._socket}

    @property
    def _socket(self) -> str:
        return str(self.folder / "munge.socket")

    def call(self, program: str, *arguments: str) -> str:
        """What a command of SLURM prints; fails if it fails."""
        done = subprocess.run(
            [_found(program), *arguments],
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def state(self, job: str) -> str:
        """Of a job, such as PENDING, RUNNING or COMPLETED."""
        shown = self.call("scontrol", "show", "job", job, "--oneliner")
        return shown.partition("JobState=")[2].split()[0]

    def logs(self) -> str:
        """What the job and the daemons have written."""
        paths = [*sorted(self.folder.glob("*.log"), key=lambda path: path.name != "job.log")]
        return "\n".join(f"== {path.name}\n{path.read_text()[-4000:]}" for path in paths)


def _found(program: str) -> str:
    path = shutil.which(program, path=":".join(FOLDERS))
    assert path is not None, program
    return path


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """The cluster, from when both nodes are idle."""
    (folder / "state").mkdir(parents=True)
    host = socket.gethostname().partition(".")[0]
    ports = {name: free_port() for name in ("port", "first", "second")}
    text = CONFIGURATION.format(folder=folder, host=host, **ports)
    (folder / "slurm.conf").write_text(text)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    cluster = Slurm(folder)

    with ExitStack() as stack:

        def start(name: str, program: str, *arguments: str) -> Process:
            command = [_found(program), *arguments]
            process = Process(command, cluster.env, folder / f"{name}.log")
            stack.callback(process.kill)
            return process

        start(
            "munged", "munged", "--foreground", "--force", "--socket", cluster._socket,
            "--key-file", str(key), "--pid-file", str(folder / "munged.pid"),
            "--seed-file", str(folder / "munged.seed"), "--log-file", str(folder / "munge.log"),
        )  # fmt: skip
        wait_until(lambda: Path(cluster._socket).exists(), "munged listens", 60)
        start("slurmctld", "slurmctld", "-D", "-f", cluster.env["SLURM_CONF"])
        for node in ("n1", "n2"):
            (folder / node).mkdir()
            start(node, "slurmd", "-D", "-N", node, "-f", cluster.env["SLURM_CONF"])

        def idle() -> bool:
            done = subprocess.run(
                [_found("sinfo"), "-h", "-o", "%D %t"],
                env=os.environ | cluster.env, capture_output=True, text=True,
            )  # fmt: skip
            return done.stdout.split() == ["2", "idle"]

        wait_until(idle, "two idle nodes", 120)
        yield cluster
