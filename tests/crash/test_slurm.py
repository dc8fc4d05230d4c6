"""A study as a SLURM job over two nodes, by the file that the page on SLURM offers."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.harness import NAME, ROOT, Study, assert_whole, full_form, wait_until
from tests.crash.slurm import Slurm, needs_slurm, slurm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
FILE = ROOT / "docs/howto/study.sbatch"


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name, for the sockets in it."""
    made = Path(tempfile.mkdtemp(prefix="vsl-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def submit(cluster: Slurm, storage: Path, *flags: str, nodes: int) -> str:
    """The number of a job that trains the crash suite's study."""
    cluster.env |= {
        "CRASH_CASES": "plain,long", "PYTHON": sys.executable, "STORAGE": str(storage),
        "SLURM_TMPDIR": str(storage.parent), "RAY_raylet_start_wait_time_s": "180",
    }  # fmt: skip
    said = cluster.call(
        "sbatch", "--parsable", "--job-name", NAME, "--chdir", str(ROOT), "--nodes", str(nodes),
        "--cpus-per-task", "1", "--output", str(cluster.folder / "job.log"),
        str(FILE), "tests.crash.study", *flags,
    )  # fmt: skip
    return said.strip()


@full_form
@needs_slurm
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_job_that_is_requeued_in_the_middle_ends_whole(folder: Path, nodes: int) -> None:
    """Once because its time is up, which the job hears of, and once because others go first."""
    storage = folder / "storage"
    tracker = "mlflow.db" if nodes == 1 else "mlflow-server.db"
    study = Study(storage, "", f"sqlite:///{storage}/{tracker}")
    with slurm(folder / "slurm") as cluster:
        flags = ("--trials", "3", "--scheduler", "none", "--cpus", str(nodes))
        job = submit(cluster, storage, *flags, nodes=nodes)

        def until(happened: str, epochs: int) -> None:
            wait_until(
                lambda: study.reported("0001") >= epochs or cluster.state(job) == "FAILED",
                f"{epochs} epochs of the second trial, before {happened}",
            )
            assert cluster.state(job) == "RUNNING", cluster.logs()

        until("its time is up", 2)
        cluster.call("scancel", "--signal", "TERM", "--batch", job)
        wait_until(lambda: cluster.state(job) == "PENDING", "requeued by itself")
        cluster.call("scontrol", "update", f"JobId={job}", "StartTime=now")
        until("others go first", study.reported("0001") + 2)
        cluster.call("scontrol", "requeue", job)
        wait_until(lambda: cluster.state(job) == "PENDING", "requeued by SLURM")
        cluster.call("scontrol", "update", f"JobId={job}", "StartTime=now")
        wait_until(lambda: cluster.state(job) in ("COMPLETED", "FAILED"), "the job's end")
        assert cluster.state(job) == "COMPLETED", cluster.logs()
    assert_whole(study, 3)
