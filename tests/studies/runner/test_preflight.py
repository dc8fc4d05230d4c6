"""Facts of nodes as they would come back: the first unfit node is named, with what to do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from studies.runner import preflight
from studies.runner.preflight import PreflightError, judge_nodes
from studies.runner.provenance import code_hash, versions

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


@pytest.mark.parametrize(
    ("node", "driver"), [(preflight.UNTOLD, "3.1"), ("3.1", preflight.UNTOLD), ("3.1", "3.1")]
)
def test_a_node_without_the_drivers_password_reaches_the_server_all_the_same(
    monkeypatch: pytest.MonkeyPatch, node: str, driver: str
) -> None:
    monkeypatch.setattr(preflight, "server_identity", lambda uri: driver)
    judge_nodes({"10.0.0.2": facts(tracker=node)}, "https://host")


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("API request failed with error code 401 != 200", "set MLFLOW_TRACKING_USERNAME"),
        ("error code 403 != 200", "the right to create and edit experiments"),
        ("(psycopg.errors.InsufficientPrivilege) permission denied for table", "right to write"),
        ("certificate verify failed: self-signed certificate", "MLFLOW_TRACKING_SERVER_CERT_PATH"),
        ("Detected out-of-date database schema", "mlflow db upgrade"),
        ("Max retries exceeded", "start one with `mlflow server`, or give another --tracking-uri"),
    ],
)
def test_a_refusal_has_a_way_out_and_no_secret(reason: str, hint: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(
            json.dumps({"error": f"{reason} (p4ss)", "holds_study": False}).encode() + b"\n"
        )
        with pytest.raises(PreflightError) as raised:
            preflight.tracker_takes(ours, "https://me:p4ss@host:5000", "s", new=True)
    assert hint in str(raised.value)
    assert "p4ss" not in str(raised.value)


def test_a_variables_value_is_not_called_a_flag(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = "http://127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(PreflightError, match=r"from the variable .* unset MLFLOW_TRACKING_URI"):
        preflight.tracker_answers(uri)


def test_a_look_at_an_absent_database_does_not_make_one(tmp_path: Path) -> None:
    preflight.tracker_answers(f"sqlite:///{tmp_path}/new/m.db")
    assert list((tmp_path / "new").iterdir()) == []


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
