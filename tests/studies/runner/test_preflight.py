"""Facts of nodes as they would come back: the first unfit node is named, with what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from studies.runner import preflight
from studies.runner.preflight import PreflightError, judge_nodes
from studies.runner.provenance import code_hash, versions
from studies.tracker import names
from studies.tracker.delivery import Delivery
from tests.crash.servers import MlflowServer

URI = "sqlite:///m.db"


def facts(**changes: Any) -> dict[str, Any]:
    fit = {
        "versions": versions(),
        "code": code_hash(),
        "shared": True,
        "writable": True,
        "tracker": "",
    }
    return fit | changes


def test_a_fit_node_passes() -> None:
    judge_nodes({"10.0.0.2": facts()}, URI)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": versions() | {"torch": "1.0"}}, "has torch 1.0, the driver .* same versions"),
        ({"versions": versions() | {"ray": "2.0"}}, "has ray 2.0"),
        ({"code": "0000"}, "other code of vae_trainables .* --working-dir"),
        ({"shared": False}, "does not see --storage"),
        ({"writable": False}, "cannot write to --storage"),
        ({"tracker": "error: refused"}, "does not reach the tracker .*error: refused"),
    ],
)
def test_an_unfit_node_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PreflightError, match=f"node 10.0.0.2 .*{message.removeprefix('.*')}"):
        judge_nodes({"10.0.0.2": facts(**changes)}, URI)


def test_a_sqlite_tracker_is_for_one_node() -> None:
    with pytest.raises(PreflightError, match="2 nodes and the tracker is a sqlite file"):
        judge_nodes({"a": facts(), "b": facts()}, URI)


def test_an_optional_library_may_differ() -> None:
    """Workers talk to no tracker: their MLflow does not matter."""
    judge_nodes({"a": facts(versions=versions() | {"mlflow": "1.0"})}, URI)


def test_storage_inside_a_jobs_copy_of_the_code_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_0" / "runs"
    with pytest.raises(PreflightError, match="outlives the job"):
        preflight.storage_is_writable(inside)
    assert not inside.exists()


class Answers(BaseHTTPRequestHandler):
    """A tracker that wants a password for everything but its version."""

    password = "Basic bWU6cGEgc3M="  # me:pa ss

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == self.password
        self.send_response(200 if allowed or self.path == "/version" else 401)
        self.end_headers()
        if self.path == "/version":
            self.wfile.write(b"3.1")
        elif allowed:
            self.wfile.write(b'{"experiment": {"creation_time": 17}}')

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_two_trackers_of_one_version_are_told_apart(port: int) -> None:
    identity = preflight.server_identity(f"http://me:pa%20ss@127.0.0.1:{port}")
    assert identity == "3.1, made 17"


def test_a_tracker_that_shows_us_nothing_but_its_version_will_do(port: int) -> None:
    assert preflight.server_identity(f"http://127.0.0.1:{port}") == "3.1"
    preflight.tracker_answers(f"http://me:wrong@127.0.0.1:{port}")


def test_an_upload_counts_what_ray_would_send(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("/.venv\n")
    (tmp_path / ".rayignore").write_text("/runs\n*.db\n")
    for name in (".venv/x", "runs/x", "m.db"):
        _sparse(tmp_path / name, 200)
    _sparse(tmp_path / "studies" / "x", 99)
    preflight.upload_fits(tmp_path)
    _sparse(tmp_path / "new", 2)
    with pytest.raises(PreflightError, match="holds 101 MiB, Ray uploads at most 100"):
        preflight.upload_fits(tmp_path)


def _sparse(path: Path, mib: int) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.truncate(mib * 2**20)


def test_a_tracker_that_holds_a_study_of_this_name_is_not_mixed_up(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    preflight.study_is_new(uri, "mine")  # no database yet
    delivery = Delivery(uri, "mine", tmp_path.as_uri())
    preflight.study_is_new(uri, "mine")  # an experiment without a run
    run = {"event": "run", "key": "", "name": "mine", "params": {}, "time": 1}
    delivery.deliver([run | {"tags": {names.ROLE: names.ROLE_STUDY}}])
    preflight.study_is_new(uri, "another")
    with pytest.raises(PreflightError, match=r"holds a study 'mine' already.* another --study"):
        preflight.study_is_new(uri, "mine")
    delivery.client.delete_run(delivery.runs[""].run_id)
    preflight.study_is_new(uri, "mine")


@pytest.mark.slow
def test_a_server_that_holds_a_study_of_this_name_is_asked(tmp_path: Path) -> None:
    server = MlflowServer(tmp_path / "server")
    try:
        preflight.study_is_new(server.uri, "Gürültü 1/2")
        delivery = Delivery(server.uri, "Gürültü 1/2", None)
        run = {"event": "run", "key": "", "name": "x", "params": {}, "time": 1}
        delivery.deliver([run | {"tags": {names.ROLE: names.ROLE_STUDY}}])
        with pytest.raises(PreflightError, match="holds a study 'Gürültü 1/2' already"):
            preflight.study_is_new(server.uri, "Gürültü 1/2")
        preflight.study_is_new(server.uri, "another")
    finally:
        server.kill()
