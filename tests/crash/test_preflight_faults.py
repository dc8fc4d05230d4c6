"""Whatever a study would stumble over is found before it starts: one line, exit code 2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.harness import ROOT, Study, full_form
from tests.crash.servers import Cluster, MlflowServer, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a node of its own view needs root")


def refused(study: Study, *flags: str) -> str:
    """The one line with which the study refuses to start; it must have started nothing."""
    driver = study.start(*flags)
    assert driver.wait() == 2, driver.text
    lines = driver.text.strip().splitlines()
    assert len(lines) == 1, driver.text
    assert lines[0].startswith("error: ")
    assert not study.folder.exists(), "a folder of the study is left"
    return lines[0]


def test_a_tracker_that_does_not_answer(make_study: Callable[..., Study]) -> None:
    study = make_study(uri=f"http://127.0.0.1:{free_port()}")
    assert "start one with `mlflow server`" in refused(study)


def test_a_password_in_the_tracking_uri_is_not_shown(make_study: Callable[..., Study]) -> None:
    study = make_study(uri=f"http://me:secret@127.0.0.1:{free_port()}")
    line = refused(study)
    assert "no MLflow server answers at http://***@127.0.0.1" in line
    assert "secret" not in line


def test_a_storage_that_cannot_be_written(make_study: Callable[..., Study]) -> None:
    study = make_study()
    study.storage = study.storage / "file"
    study.storage.write_text("")
    assert "choose another folder" in refused(study)


def test_a_storage_that_would_go_with_the_job(make_study: Callable[..., Study]) -> None:
    study = make_study()
    study.storage = study.storage / "working_dir_files" / "_ray_pkg_1" / "runs"
    study.storage.parent.mkdir(parents=True)  # for the driver's log
    assert "that outlives the job" in refused(study)


def test_data_that_is_missing(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study("--dataset", "mnist", "--data-dir", str(tmp_path))
    assert "train-images-idx3-ubyte" in refused(study)


def test_gpus_that_are_not_there(make_study: Callable[..., Study]) -> None:
    study = make_study("--gpus", "64")
    assert "give --gpus 0 to train on CPUs" in refused(study)


def test_an_address_where_no_cluster_is(make_study: Callable[..., Study]) -> None:
    study = make_study("--address", f"127.0.0.1:{free_port()}")
    assert "no Ray cluster at" in refused(study)


@full_form
def test_a_token_that_is_wrong_and_gpus_no_node_has(
    make_study: Callable[..., Study], cluster: Cluster, tmp_path: Path
) -> None:
    study = make_study("--address", cluster.address, env=cluster.env)
    assert "but the cluster has 0; ask for fewer or add nodes" in refused(study, "--gpus", "1")
    assert "but the cluster has 1; ask for fewer" in refused(study, "--cpus", "9")
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    study.env |= {"RAY_AUTH_TOKEN_PATH": str(wrong)}
    assert "RAY_AUTH_MODE=token" in refused(study)


@full_form
def test_an_upload_that_ray_would_refuse(
    make_study: Callable[..., Study], cluster: Cluster, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    for name in ("studies", "vae_trainables", "tests/crash"):
        shutil.copytree(ROOT / name, checkout / name)
    for name in (".gitignore", ".rayignore"):
        shutil.copy(ROOT / name, checkout)
    (checkout / "tests" / "__init__.py").touch()
    study = make_study("--address", cluster.address, "--dry-run")

    def dry_run() -> subprocess.CompletedProcess[str]:
        env = os.environ | study.environment() | cluster.env
        command = [sys.executable, *study.command()[1:]]
        return subprocess.run(
            command, cwd=checkout, env=env, capture_output=True, text=True, check=False
        )

    for ignored in ("data", "runs", ".venv"):
        (checkout / ignored).mkdir()
        os.truncate(os.open(checkout / ignored / "big", os.O_CREAT | os.O_WRONLY), 200 * 2**20)
    assert dry_run().returncode == 0, "what .rayignore lists does not count"
    os.truncate(os.open(checkout / "big", os.O_CREAT | os.O_WRONLY), 101 * 2**20)
    done = dry_run()
    assert done.returncode == 2, done.stdout
    assert "Ray uploads at most 100: list data, runs and" in done.stderr


def faulty_node(fault: str, study: Study, tmp_path: Path) -> dict[str, object]:
    """What makes a second node unfit: arguments of `Cluster.add`."""
    match fault:
        case "sqlite":
            return {}
        case "tracker":
            return {"env": {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}}
        case "not shared":
            return {"prefix": f"mount -t tmpfs none '{study.storage}'"}
        case "read-only":
            at = f"'{study.storage}'"
            return {"prefix": f"mount --bind {at} {at} && mount -o remount,ro,bind {at}"}
        case "no code":
            return {"prefix": f"mount -t tmpfs none '{ROOT}/studies'"}
        case _:
            fake = tmp_path / "shim" / "numpy-0.0.1.dist-info"
            fake.mkdir(parents=True)
            (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
            return {"env": {"PYTHONPATH": str(fake.parent)}}


FAULTS = {
    "sqlite": "the tracker is a sqlite file of one machine",
    "not shared": "does not see --storage: put it on a folder that all nodes share",
    "read-only": "cannot write to --storage: mend its permissions",
    "tracker": "does not reach the tracker that the driver reaches",
    "no code": "submit with --working-dir .",
    "versions": "has numpy 0.0.1, the driver",
}


@full_form
@needs_root
@pytest.mark.parametrize("fault", FAULTS)
def test_a_second_node_that_is_unfit(
    make_study: Callable[..., Study],
    server: MlflowServer,
    cluster: Cluster,
    tmp_path: Path,
    fault: str,
) -> None:
    uri = "" if fault == "sqlite" else server.uri
    study = make_study("--address", cluster.address, env=cluster.env, uri=uri)
    cluster.add(**faulty_node(fault, study, tmp_path))  # type: ignore[arg-type]
    assert FAULTS[fault] in refused(study)


def test_a_dry_run_starts_nothing(make_study: Callable[..., Study]) -> None:
    study = make_study("--dry-run")
    text = study.start().finish()
    assert "nothing was started" in text
    assert not study.folder.exists()
