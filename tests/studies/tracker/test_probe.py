"""Trackers that look right and are not, real ones: what a study is told of them at its start."""

from __future__ import annotations

import shutil
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from studies.runner import preflight
from studies.runner.preflight import PreflightError
from studies.tracker import line
from studies.tracker.address import with_driver
from studies.tracker.delivery import Delivery
from studies.tracker.store import database_store
from studies.tracker.tracker import Tracker
from tests.crash.harness import wait_until
from tests.crash.servers import BIN, Process, free_port
from tests.studies.tracker.databases import (
    QUOTED,
    mariadb,
    needs_mariadb,
    needs_postgresql,
    postgresql,
)

pytestmark = pytest.mark.slow


def asked(folder: Path, uri: str, study: str = "s", *, new: bool = True) -> None:
    """What a driver does before it starts: raises PreflightError, and lets the sender go."""
    artifacts = None if uri.startswith("http") else (folder / "artifacts" / study).as_uri()
    sender = line.start_sender(folder / study / "spool", uri, study, artifacts)
    try:
        preflight.tracker_takes(sender, uri, study, new=new)
    finally:
        line.dismiss(sender)


def test_a_look_at_a_new_database_leaves_nothing(tmp_path: Path) -> None:
    asked(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_a_look_at_a_database_in_use_leaves_nothing(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    other = Delivery(uri, "other", (tmp_path / "artifacts" / "other").as_uri())
    run = {"event": "run", "key": "", "name": "x", "params": {}, "time": 1, "tags": {}}
    other.deliver([run])
    before = _content(tmp_path / "mlflow.db")
    asked(tmp_path, uri)
    assert _content(tmp_path / "mlflow.db") == before
    assert not (tmp_path / "artifacts" / "s").exists()
    with pytest.raises(PreflightError, match=r"runs of a study 'other' already.* another --study"):
        asked(tmp_path, uri, "other")
    asked(tmp_path, uri, "other", new=False)
    other.client.delete_experiment(other.experiment)
    with pytest.raises(PreflightError, match="deleted ones count"):
        asked(tmp_path, uri, "other")
    assert MlflowClient(uri).get_experiment(other.experiment).lifecycle_stage == "deleted"


def _content(database: Path) -> dict[str, int]:
    with sqlite3.connect(database) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        tables = [t for t in tables if not t.startswith(("sqlite_", "ix_", "index_", "idx_"))]
        return {
            t: connection.execute(f'SELECT count(*) FROM "{t}"').fetchone()[0]
            for t in tables
            if connection.execute(
                "SELECT 1 FROM sqlite_master WHERE type='table' AND name=?", (t,)
            ).fetchone()
        }


def test_mlflow_still_has_what_the_probe_clears_up_with(tmp_path: Path) -> None:
    """Private names: without them a look would leave a deleted run behind."""
    client = Delivery(f"sqlite:///{tmp_path}/m.db", "s", tmp_path.as_uri()).client
    store = database_store(client)
    assert callable(store._hard_delete_run)
    assert callable(store._hard_delete_experiment)


def test_a_file_that_is_no_database_and_one_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database")
    with pytest.raises(PreflightError, match=r"text\.db cannot be used"):
        preflight.tracker_answers(f"sqlite:///{tmp_path}/text.db")
    with sqlite3.connect(tmp_path / "old.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('0123456789ab')")
    with pytest.raises(PreflightError, match="cannot be written"):
        asked(tmp_path, f"sqlite:///{tmp_path}/old.db")


def test_a_sender_that_cannot_start_is_no_reason_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "SENDER", (sys.executable, "-c", "raise SystemExit"))
    with pytest.raises(PreflightError, match="ended"):
        asked(tmp_path, f"sqlite:///{tmp_path}/m.db")
    monkeypatch.setattr(line, "SENDER", (sys.executable, "-c", "import time; time.sleep(30)"))
    monkeypatch.setattr(line, "DISMISS_S", 0.1)
    monkeypatch.setattr(line.answer, "__defaults__", (0.2,))
    with pytest.raises(PreflightError, match="no answer within"):
        asked(tmp_path, f"sqlite:///{tmp_path}/m.db")


@pytest.fixture(params=["postgresql", "mysql"])
def database(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A real server: its kind, and HOST:PORT/DATABASE."""
    kind = request.param
    missing, server = SERVERS[kind]
    if missing.args[0]:
        pytest.skip(missing.kwargs["reason"])
    with server() as port:
        yield kind, f"127.0.0.1:{port}/m"


SERVERS = {"postgresql": (needs_postgresql, postgresql), "mysql": (needs_mariadb, mariadb)}
NO_PASSWORD = "password authentication failed|Access denied"
NO_RIGHT = r"(permission|command) denied .* the right to write"


def test_a_database(tmp_path: Path, database: tuple[str, str]) -> None:
    kind, place = database
    uri = f"{kind}://ada:{QUOTED}@{place}"
    driver = {"postgresql": "psycopg", "mysql": "pymysql"}[kind]
    query = f"{kind}+{driver}://{place}?user=ada&password={QUOTED}"
    with pytest.raises(PreflightError, match=NO_PASSWORD) as refused:
        asked(tmp_path / "a", f"{kind}://ada:n0t{QUOTED}@{place}")
    assert "s3cr" not in str(refused.value)
    asked(tmp_path / "a", uri)  # makes MLflow's tables, and takes its experiment away again
    with pytest.raises(PreflightError, match=NO_RIGHT):
        asked(tmp_path / "a", f"{kind}://eve:{QUOTED}@{place}")
    spool = tmp_path / "b" / "s" / "spool"
    tracker = Tracker(spool, query, "s", (tmp_path / "b" / "artifacts" / "s").as_uri())
    tracker.study({}, {}, "")
    tracker.metrics("", 1, {"m": 1.0}, 5)
    assert tracker.close() == ""
    client = MlflowClient(with_driver(uri))
    runs = client.search_runs(_experiments(client), run_view_type=ViewType.ALL)
    assert [run.data.metrics for run in runs] == [{"m": 1.0}]
    with pytest.raises(PreflightError, match=r"(?i)connection refused"):
        asked(tmp_path / "a", f"{kind}://ada:{QUOTED}@127.0.0.1:{free_port()}/m")
    for path in (tmp_path / "b").rglob("*"):
        assert not path.is_file() or b"s3cr" not in path.read_bytes(), path
    assert not list((tmp_path / "a").rglob("*"))


def _experiments(client: MlflowClient) -> list[str]:
    return [e.experiment_id for e in client.search_experiments(ViewType.ALL) if e.name != "Default"]


@pytest.fixture
def with_passwords(tmp_path: Path) -> Iterator[str]:
    """A server of MLflow's own that asks for a password."""
    if find_spec("flask_wtf") is None:
        pytest.skip("needs mlflow[auth]")
    port = free_port()
    config = tmp_path / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{tmp_path}/auth.db\n"
        "admin_username = admin\nadmin_password = passw0rd-of-admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [
        *(str(BIN / "mlflow"), "server", "--app-name", "basic-auth", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"),
        *("--artifacts-destination", str(tmp_path / "files")),
    ]
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "k"}
    server = Process(command, env, tmp_path / "server.log")
    uri = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: preflight.server_identity(uri) in _UP, server.log.read_text())
        yield uri
    finally:
        server.kill()


_UP = (preflight.UNTOLD, __import__("mlflow").__version__)


@pytest.fixture
def behind_tls(tmp_path: Path) -> Iterator[tuple[str, Path, Path]]:
    """A server with a certificate of its own authority that wants one too: where, and both."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    authority, server, client = certificates(tmp_path)
    port = free_port()
    options = (
        f"--ssl-certfile {server} --ssl-keyfile {server} --ssl-ca-certs {authority} "
        f"--ssl-cert-reqs {int(ssl.CERT_REQUIRED)}"
    )
    command = [
        *(str(BIN / "mlflow"), "server", "--port", str(port), "--uvicorn-opts", options),
        *("--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"),
        *("--artifacts-destination", str(tmp_path / "files")),
    ]
    process = Process(command, {}, tmp_path / "server.log")
    uri = f"https://127.0.0.1:{port}"
    try:
        wait_until(lambda: preflight.server_identity(uri) == preflight.UNTOLD, "the server")
        yield uri, authority, client
    finally:
        process.kill()


def certificates(folder: Path) -> list[Path]:
    """An authority's, and a server's and a client's that it has signed, with their keys."""

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "rsa:2048", "-nodes", "-keyout")
    run("req", "-x509", *new, "own.key", "-out", "own.pem", "-subj", "/CN=own authority")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    by = ("-CA", "own.pem", "-CAkey", "own.key", "-CAcreateserial", "-extfile", "names")
    for name in ("server", "client"):
        run("req", *new, f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", *by, "-out", f"{name}.crt")
        parts = [(folder / f"{name}.{part}").read_text() for part in ("crt", "key")]
        (folder / f"{name}.pem").write_text("".join(parts))
    return [folder / f"{name}.pem" for name in ("own", "server", "client")]


def test_a_server_behind_tls(
    behind_tls: tuple[str, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, authority, client = behind_tls
    folder = tmp_path / "runs"

    def ask(**variables: object) -> None:
        with monkeypatch.context() as environment:
            for name, value in variables.items():
                environment.setenv(name, str(value))
            preflight.tracker_answers(uri)
            asked(folder, uri)

    theirs, mine = "MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"
    with pytest.raises(PreflightError, match=f"name its certificate in {theirs}"):
        ask()
    with pytest.raises(PreflightError, match=f"name yours in {mine}"):
        ask(**{theirs: authority})
    ask(**{theirs: authority, mine: client})
    ask(MLFLOW_TRACKING_INSECURE_TLS="true", **{mine: client})
    ask(SSL_CERT_FILE=authority, REQUESTS_CA_BUNDLE=authority, **{mine: client})
    with pytest.raises(PreflightError, match="unset one of the two"):
        ask(MLFLOW_TRACKING_INSECURE_TLS="true", **{theirs: authority, mine: client})
    plain = uri.replace("https", "http")
    with pytest.raises(PreflightError, match="if it speaks TLS, give https://"):
        preflight.tracker_answers(plain)


def test_a_server_that_asks_for_a_password(
    with_passwords: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    uri, folder = with_passwords, tmp_path / "runs"
    with pytest.raises(PreflightError, match="set MLFLOW_TRACKING_USERNAME"):
        asked(folder, uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "passw0rd-of-admin")
    asked(folder, uri)
    MlflowClient(uri).create_experiment("theirs")
    AuthServiceClient(uri).create_user("reader", "passw0rd-of-reader")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "passw0rd-of-reader")
    with pytest.raises(PreflightError, match="the right to create and edit") as refused:
        asked(folder, uri, "theirs")
    assert "passw0rd" not in str(refused.value)
    asked(folder, uri, "mine")  # who makes an experiment may write to it
    assert not list(folder.rglob("*"))
