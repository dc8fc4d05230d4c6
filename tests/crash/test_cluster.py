"""A job on a head and a worker: stopped, submitted again, and a whole node dies under it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from studies.tracker import names
from tests.crash.harness import (
    Driver,
    Study,
    assert_as_uninterrupted,
    assert_whole,
    full_form,
    wait_until,
)
from tests.crash.servers import Cluster, MlflowServer
from tests.studies.own.strangers import call

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TRIALS = ["--trials", "3", "--scheduler", "none"]
STOPPED = ("interrupted", "WAITING", "KILLED", "interrupted")


def submitted(study: Study, cluster: Cluster, name: str, log: Path, *flags: str) -> Driver:
    """`ray job submit … -- python -m tests.crash.study …`"""
    env = {"CRASH_CASES": study.cases, "OMP_NUM_THREADS": "1"}
    command = cluster.submit(name, study.command(*flags), env)
    job = Driver(command, cluster.env, log)
    study.drivers.append(job)
    return job


@full_form
def test_a_job_survives_ray_job_stop_and_the_death_of_a_node(
    make_study: Callable[..., Study], server: MlflowServer, cluster: Cluster, tmp_path: Path
) -> None:
    worker = cluster.add()
    study = make_study(*TRIALS, "--cpus", "2", uri=server.uri, cases="very long,very long,plain")
    both = ("0000", "0001")  # long enough for the second node, which first unpacks and imports all

    job = submitted(study, cluster, "first", tmp_path / "first.log")
    job.until(lambda: all(study.reported(key) >= 2 for key in both), "both nodes train")
    cluster.stop("first")
    job.wait()
    assert "resume:     python -m studies.run tests/crash/study.py --storage" in job.text
    wait_until(study.settled, "the sender, which outlives the job, has told MLflow")
    statuses = study.statuses()
    assert [statuses[key] for key in both] == [STOPPED, STOPPED]
    assert study.trials()["0000"].reason == "stopped by SIGTERM"

    before = {key: study.reported(key) for key in both}
    job = submitted(study, cluster, "second", tmp_path / "second.log", "--resume")
    job.until(lambda: all(study.reported(key) > before[key] for key in both), "both go on")
    worker.kill()
    assert "it goes on from its newest checkpoint" in job.finish()
    assert_whole(study, 3)
    trials = study.trials()
    assert {row.status for row in trials.values()} == {"finished"}
    assert sorted(trials[key].attempt for key in both) == [2, 3]
    for key in both:
        assert_as_uninterrupted(study, key)


OWN = Path(__file__).parents[1] / "studies/own"


@full_form
def test_an_own_file_is_a_job_of_two_nodes_that_know_nothing_of_it(
    server: MlflowServer, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.add()
    home = tmp_path / "home"
    home.mkdir()
    for name in ("my_study.py", "my_nets.py"):
        shutil.copy(OWN / name, home)
    entry = [
        *(sys.executable, "-m", "studies.run", "my_study.py", "--trials", "4", "--epochs", "240"),
        *("--cpus", "2", "--scheduler", "none", "--storage", str(tmp_path / "runs")),
        *("--tracking-uri", server.uri),
    ]
    command = cluster.submit("own", entry, {"OMP_NUM_THREADS": "1"}, home)
    env = os.environ | cluster.env
    job = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert job.returncode == 0, job.stdout + job.stderr

    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("my_study")
    runs = client.search_runs([experiment.experiment_id])
    trials = [run for run in runs if run.data.tags[names.ROLE] == names.ROLE_TRIAL]
    assert [run.data.tags[names.STATUS] for run in trials] == ["finished"] * 4
    first, second = sorted((run.info.start_time, run.info.end_time) for run in trials)[:2]
    assert second[0] < first[1], "each node has one CPU, and two trials trained at once"
    shutil.rmtree(home)
    (tmp_path / "elsewhere").mkdir()
    flags = ("--tracking-uri", server.uri)
    check = ("-m", "studies.reproduce", trials[0].info.run_id, "--check", *flags)
    assert "bit-equal" in call(tmp_path / "elsewhere", *check)
