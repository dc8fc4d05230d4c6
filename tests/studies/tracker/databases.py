"""A PostgreSQL of a test's own, on a free port, from the programs that the machine has."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
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
    bin_folder = programs()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
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
