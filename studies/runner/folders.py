"""Folders that a Ray of our own needs, where the usual ones will not do: sockets, and its token."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from studies.runner.preflight import PreflightError

SOCKET_LIMIT = 107  # bytes of a Unix socket's path (sun_path, less the zero at its end)
_INSIDE = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
LONGEST = SOCKET_LIMIT - len(_INSIDE)
VARIABLES = ("RAY_TMPDIR", "TMPDIR")  # the first that is set is Ray's choice, else /tmp
OTHERS = ("/tmp", "/var/tmp", "/dev/shm")
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def session_folder() -> tuple[Path, str]:
    """Ray's folder, short enough for its sockets; with a remark where it is not the usual one.

    Raises PreflightError where no folder will do.
    """
    candidates = [(name, os.environ[name]) for name in VARIABLES if os.environ.get(name)]
    candidates += [("", other) for other in OTHERS]
    complaints: list[str] = []
    for variable, folder in candidates:
        complaint = _complaint(folder)
        if not complaint:
            ray = Path(folder).absolute() / "ray"
            return ray, f"Ray's files are in {ray}: {complaints[0]}" if complaints else ""
        complaints.append(f"{variable or folder} {complaint}")
    raise PreflightError(
        f"Ray needs a folder for its sockets ({'; '.join(complaints)}): set RAY_TMPDIR to a folder "
        f"that can be written, of at most {LONGEST} characters"
    )


def _complaint(folder: str) -> str:
    """Why Ray cannot keep its files in `folder`, or ""."""
    length = len(os.fsencode(os.path.abspath(folder)))
    if length > LONGEST:
        return f"has {length} characters, for sockets at most {LONGEST} will do"
    try:
        ray = Path(folder) / "ray"
        ray.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=ray):
            return ""
    except OSError as error:
        return f"cannot be written ({error.strerror})"


def provide_token() -> None:
    """Where Ray cannot keep its token in the home folder: one for this process and its children.

    Ray wants one for each cluster, and writes it into `~/.ray` unless it is in the environment.
    """
    if any(name in os.environ for name in TOKEN_VARIABLES):
        return
    try:
        folder = Path.home() / ".ray"
        if (folder / "auth_token").exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except (OSError, RuntimeError):  # a user without a home folder at all
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
