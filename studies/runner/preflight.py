"""Checks before work: each failure is one line that says what to do. Nothing waits for ever."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import os
import socket
import sqlite3
import ssl
import urllib.error
import urllib.request
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ray._private.runtime_env.packaging import _dir_travel

from studies.errors import InputError
from studies.runner.provenance import code_hash, versions
from studies.tracker import address
from studies.tracker.line import answer

TIMEOUT_S = 10.0
JOB_UPLOAD_LIMIT = 100 * 2**20
UNTOLD = "a server that wants a password or has a certificate of its own"
# What MLflow and databases say of a tracker that refuses, and what helps.
WAYS_OUT = {
    "error code 401": "set MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN",
    "error code 403": "ask for the right to create and edit experiments there",
    "PERMISSION_DENIED": "ask for the right to create and edit experiments there",
    "permission denied": "give the database's user the right to write",
    "command denied": "give the database's user the right to write",
    "only one of these environment variables": "unset one of the two",
    "CERTIFICATE_REQUIRED": "name yours in MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "error code 400": "if it wants a certificate, name yours in MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "certificate": "name its certificate in MLFLOW_TRACKING_SERVER_CERT_PATH",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: give http://HOST:PORT",
    "without response": "if it speaks TLS, give https://HOST:PORT; if it wants a certificate, name "
    "yours in MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "out-of-date": "bring it up to date: mlflow db upgrade ADDRESS",
}
COMPARED = ("python", "ray", "torch", "numpy")


class PreflightError(InputError):
    """Something the study needs is not there."""


def storage_is_writable(storage: Path) -> None:
    """The folder can be made, takes a file, and is there when a job has ended."""
    if "working_dir_files" in storage.absolute().parts:
        raise PreflightError(
            f"--storage {storage} lies in the job's own copy of the code, which Ray removes: "
            "give the absolute path of a folder that outlives the job"
        )
    probe = storage / f".probe-{uuid.uuid4().hex}"
    try:
        storage.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise PreflightError(
            f"cannot write to --storage {storage}: {error.strerror}; choose another folder"
        ) from error


def tracker_answers(uri: str) -> None:
    """Something is there, found out at once; whether it takes a study, only MLflow can tell."""
    if address.is_http(uri):
        identity = server_identity(uri)
        if identity.startswith("error"):
            raise PreflightError(_not_recorded(uri, identity.removeprefix("error: ")))
    elif (path := address.sqlite_file(uri)) is not None:
        _sqlite_is_usable(path)


def tracker_takes(sender: socket.socket, uri: str, study: str, *, new: bool) -> None:
    """The process that will deliver has written to the tracker as a study does; it says so.

    new: the tracker must hold no study of this name, for the two would be mixed up.
    """
    verdict = answer(sender)
    if verdict["error"]:
        raise PreflightError(_not_recorded(uri, verdict["error"]))
    if new and verdict["holds_study"]:
        raise PreflightError(
            f"the tracker {address.redact(uri)} holds runs of a study {study!r} already (deleted "
            "ones count, until `mlflow gc`), and its ledger is not in --storage: name the "
            "--storage where it is, or choose another --study"
        )


def _not_recorded(uri: str, reason: str) -> str:
    """What to say of a tracker that does not take a study, with the way out."""
    name, way_out = address.source(uri)
    hint = next((text for sign, text in WAYS_OUT.items() if sign in reason), "")
    shown = address.redact(uri)
    if hint or not address.is_http(uri):
        fault, hint = f"the tracker {shown} cannot be written", hint or way_out
    else:
        fault = f"no MLflow server answers at {shown}"
        hint = f"start one with `mlflow server`, or {way_out}"
    origin = "" if name == address.FLAG else f" from {name}"
    return f"{fault}{origin} ({address.redact(reason, uri)}); {hint}"


def server_identity(uri: str) -> str:
    """What tells one MLflow server from another, UNTOLD, or "error: ..."; runs on workers too."""
    try:
        version = _fetch(uri, "/version")
    except urllib.error.HTTPError:
        return UNTOLD
    except (http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return UNTOLD if _is_wary(uri, reason) else f"error: {reason}"
    try:
        default = json.loads(_fetch(uri, "/api/2.0/mlflow/experiments/get?experiment_id=0"))
        return f"{version}, made {default['experiment']['creation_time']}"
    except (http.client.HTTPException, OSError, ValueError, KeyError):
        return version  # a server that does not let us look at its first experiment


def _is_wary(uri: str, reason: object) -> bool:
    """Whether a server is there and TLS stands between: MLflow may have certificates that we lack.

    One that wants a certificate hangs up on who has none.
    """
    hung_up = (ssl.SSLError, http.client.RemoteDisconnected, ConnectionResetError)
    return urlsplit(uri).scheme == "https" and isinstance(reason, hung_up)


def _fetch(uri: str, path: str) -> str:
    """Answer of a server whose URI may hold user and password."""
    parts = urlsplit(uri)
    request = urllib.request.Request(
        urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/") + path
    )
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(pair).decode()}")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return str(answer.read(2**20).decode("utf-8", "replace"))


def _sqlite_is_usable(path: Path) -> None:
    """The file can be opened and written, or made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            return
        with closing(sqlite3.connect(path, timeout=TIMEOUT_S)) as database:
            database.execute("PRAGMA user_version").fetchone()
        if not os.access(path, os.W_OK):
            raise PreflightError(f"the tracker's file {path} is read-only; mend its permissions")
    except (sqlite3.Error, OSError) as error:
        raise PreflightError(
            f"the tracker's file {path} cannot be used ({error}); give another --tracking-uri"
        ) from error


def local_gpus(gpus: int) -> None:
    """This machine has the GPUs asked for."""
    if not gpus:
        return
    import torch  # seconds

    usable = torch.cuda.device_count()
    if gpus > usable:
        raise PreflightError(
            f"--gpus {gpus}, but this machine has {usable} that torch can use; "
            "give --gpus 0 to train on CPUs"
        )


def cluster_has(resources: dict[str, float], gpus: int, cpus: int) -> None:
    """The cluster holds what is asked for: Ray itself would wait for ever."""
    if gpus > resources.get("GPU", 0):
        raise PreflightError(
            f"--gpus {gpus}, but the cluster has {resources.get('GPU', 0):.0f}; "
            "ask for fewer or add nodes"
        )
    if cpus > resources.get("CPU", 0):
        raise PreflightError(
            f"--cpus, --threads and --gpus ask for {cpus} CPUs, but the cluster has "
            f"{resources.get('CPU', 0):.0f}; ask for fewer"
        )


def upload_fits(folder: Path) -> None:
    """`ray job submit` refuses more than 100 MiB with an answer that does not say so."""
    sizes: list[int] = []
    _dir_travel(  # Ray's own walk over what it would send; there is no public one
        folder,
        [],
        lambda path: sizes.append(path.stat().st_size if path.is_file() else 0),
        include_gitignore=True,
        logger=logging.getLogger(__name__),
    )
    size = sum(sizes)
    if size > JOB_UPLOAD_LIMIT:
        raise PreflightError(
            f"{folder} holds {size / 2**20:.0f} MiB, Ray uploads at most 100: list data, runs and "
            "checkpoints in .rayignore"
        )


def node_facts(storage: str, marker: str, uri: str) -> dict[str, Any]:
    """Runs on each node: versions, whether it sees the driver's storage, and the tracker."""
    try:
        shared = (Path(storage) / marker).exists()
        mine = Path(storage) / f"{marker}-{uuid.uuid4().hex}"
        if shared:
            mine.write_bytes(b"x")
            mine.unlink()
        writable = True
    except OSError:
        writable = False
    return {
        "versions": versions(),
        "code": code_hash(),
        "shared": shared,
        "writable": writable,
        "tracker": server_identity(uri) if address.is_http(uri) else "",
    }


def judge_nodes(facts: dict[str, dict[str, Any]], uri: str) -> None:
    """Raise for the first node (by address) that would train something else, or nowhere."""
    own, code = versions(), code_hash()
    own_server = server_identity(uri) if address.is_http(uri) else ""
    if len(facts) > 1 and address.sqlite_file(uri) is not None:
        raise PreflightError(
            f"the cluster has {len(facts)} nodes and the tracker is a sqlite file of one machine; "
            "start `mlflow server` and give --tracking-uri http://HOST:PORT"
        )
    for node, fact in facts.items():
        for name in COMPARED:
            if fact["versions"][name] != own[name]:
                raise PreflightError(
                    f"node {node} has {name} {fact['versions'][name]}, the driver {own[name]}; "
                    "install the same versions everywhere"
                )
        if fact["code"] != code:
            raise PreflightError(
                f"node {node} has other code of vae_trainables than the driver; submit with "
                "--working-dir . or install the same version everywhere"
            )
        if not fact["shared"]:
            raise PreflightError(
                f"node {node} does not see --storage: put it on a folder that all nodes share"
            )
        if not fact["writable"]:
            raise PreflightError(f"node {node} cannot write to --storage: mend its permissions")
        if fact["tracker"] != own_server and UNTOLD not in (fact["tracker"], own_server):
            raise PreflightError(
                f"node {node} does not reach the tracker that the driver reaches at "
                f"{address.redact(uri)} ({fact['tracker']}); use an address that is valid on every "
                "node"
            )
