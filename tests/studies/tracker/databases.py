"""Database servers of a test's own, on free ports, from the programs that the machine has."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

SECRET = "s3cr/t#x"
QUOTED = "s3cr%2Ft%23x"


def programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are: on the PATH, or where Debian puts them."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if (there := shutil.which("initdb")) is not None:
        folders.append(Path(there).resolve().parent)
    return next((f for f in reversed(folders) if (f / "pg_ctl").exists()), None)


needs_postgresql = pytest.mark.skipif(
    programs() is None or find_spec("psycopg") is None,
    reason="needs PostgreSQL (Debian: postgresql) and psycopg (the extra `postgresql`)",
)


@contextmanager
def postgresql() -> Iterator[int]:
    """The port of a server with the users `ada`, who owns the database `m`, and `eve`, who reads.

    Both have the password SECRET. PostgreSQL refuses to run as root: there it runs as `postgres`.
    """
    bin_folder, port = programs(), _free_port()
    assert bin_folder is not None
    folder = Path(tempfile.mkdtemp(prefix="vae-pg-", dir="/tmp"))  # where another user may look
    data, log, password = folder / "data", folder / "log", folder / "password"
    password.write_text(SECRET)
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
        shutil.chown(password, "postgres")

    def run(name: str, *arguments: str) -> None:
        command = [*as_user, str(bin_folder / name), *arguments]
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    run("initdb", "-D", str(data), "-A", "scram-sha-256", "-U", "ada", "--pwfile", str(password))
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run("pg_ctl", "-D", str(data), "-w", "-l", str(log), "-o", options, "start")
    try:
        _set_up(port)
        yield port
    finally:
        run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _set_up(port: int) -> None:
    import psycopg

    where = {"host": "127.0.0.1", "port": port, "user": "ada", "password": SECRET}
    with psycopg.connect(dbname="postgres", autocommit=True, **where) as server:
        server.execute("CREATE DATABASE m")
        server.execute(f"CREATE ROLE eve LOGIN PASSWORD '{SECRET}'")
    with psycopg.connect(dbname="m", autocommit=True, **where) as database:
        database.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO eve")


needs_mariadb = pytest.mark.skipif(
    shutil.which("mariadbd") is None or find_spec("pymysql") is None,
    reason="needs MariaDB (Debian: mariadb-server) and PyMySQL (the extra `mysql`)",
)


@contextmanager
def mariadb() -> Iterator[int]:
    """The port of a server with the users of `postgresql`: `ada` may all in `m`, `eve` read."""
    port = _free_port()
    folder = Path(tempfile.mkdtemp(prefix="vae-my-", dir="/tmp"))
    log, user = folder / "log", []
    if os.geteuid() == 0:
        user = ["--user=mysql"]
        shutil.chown(folder, "mysql")
    data = f"--datadir={folder / 'data'}"
    install = ["mariadb-install-db", "--no-defaults", *user, data, "--skip-test-db"]
    env = os.environ | {"TMPDIR": str(folder)}  # where that user may write
    subprocess.run(install, env=env, check=True, capture_output=True)
    where = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}"]
    with log.open("wb") as out:
        server = subprocess.Popen(
            ["mariadbd", "--no-defaults", *user, data, *where, f"--init-file={_users(folder)}"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(port, server, log)
        yield port
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


def _users(folder: Path) -> Path:
    file = folder / "users.sql"
    lines = ["CREATE DATABASE m;"]
    for name, rights in (("ada", "ALL"), ("eve", "SELECT")):
        lines.append(f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{SECRET}';")
        lines.append(f"GRANT {rights} ON m.* TO {name}@'127.0.0.1';")
    file.write_text("\n".join(lines))
    file.chmod(0o644)
    return file


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    import pymysql

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            pymysql.connect(host="127.0.0.1", port=port, user="ada", password=SECRET).close()
            return
        except pymysql.err.OperationalError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
