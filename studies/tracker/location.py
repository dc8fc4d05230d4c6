"""Where the files of an embedded tracker lie: beside its database, also after both were moved.

MLflow keeps the absolute address of every artifact folder in its database. Whoever moves or copies
a storage has a database that points to the old place: what is read would be missing, and what is
written would make the old folders anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from studies.tracker.address import is_http, sqlite_file

ARTIFACTS = "artifacts"  # the folder in a storage, beside mlflow.db; below it one per study
# Tables and columns of MLflow's database that hold addresses of files below an experiment's.
_BELOW = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
BUSY_S = 20.0


def artifact_location(uri: str, folder: Path) -> str | None:
    """Where a tracker without a server keeps a study's artifacts; a server knows itself.

    folder: the study's, absolute, in its storage.
    """
    return None if is_http(uri) else (folder.parent / ARTIFACTS / folder.name).as_uri()


def local_folder(location: str | None) -> Path | None:
    """The folder of an artifact address on this machine; None for a store elsewhere."""
    parts = urlsplit(location or "")
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(parts.path) if parts.path.startswith("/") and not parts.scheme else None


def here(database: Path, location: str | None) -> Path | None:
    """Where the files of the experiment at `location` are now; None where they have not moved."""
    folder = local_folder(location)
    if folder is None or folder.parent.name != ARTIFACTS:
        return None
    now = database.parent / ARTIFACTS / folder.name
    return now if now != folder and now.is_dir() else None


def settle(uri: str, study: str = "", own: str | None = None) -> int:
    """Bring a moved embedded tracker's addresses in line; the number of experiments that moved.

    own: where the files of `study` are to be, in its storage: there they go where the database is
    in that storage too, and where nothing is left of the place that MLflow knows.
    """
    database = sqlite_file(uri)
    if database is None or not database.is_file():
        return 0
    try:
        with closing(sqlite3.connect(database, timeout=BUSY_S)) as connection, connection:
            moved = list(_moved(connection, database, study, own))
            for experiment, old, new in moved:
                _rewrite(connection, experiment, old, new)
    except sqlite3.Error as error:
        raise OSError(f"{database} was moved, and cannot be told so: {error}") from error
    return len(moved)


def _rewrite(connection: sqlite3.Connection, experiment: int, old: str, new: str) -> None:
    """Everything below the address `old` is below `new`."""
    connection.execute(
        "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (new, experiment)
    )
    for table, column in _existing(connection):
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
            f"WHERE substr({column}, 1, ?) = ?",
            (new, len(old) + 1, len(old) + 1, f"{old}/"),
        )


def _moved(
    connection: sqlite3.Connection, database: Path, study: str, own: str | None
) -> Iterator[tuple[int, str, str]]:
    """Experiments whose files are elsewhere now: (id, old address, new one)."""
    if not _columns(connection, "experiments"):
        return
    rows = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments")
    for experiment, name, location in rows.fetchall():
        now = here(database, location)
        if now is None and name == study and _goes_along(database, location, own):
            now = local_folder(own)
        if now is not None and now != local_folder(location):
            yield experiment, location, now.as_uri()


def _goes_along(database: Path, location: str | None, own: str | None) -> bool:
    """Whether a study's files have no other place than the one in its storage."""
    before, now = local_folder(location), local_folder(own)
    if before is None or now is None or before.parent.name != ARTIFACTS:
        return False
    return not before.exists() or now.parent.parent == database.parent


def _existing(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Those of `_BELOW` that this version of MLflow has."""
    return [(table, column) for table, column in _BELOW if column in _columns(connection, table)]


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
