"""Packing: a study's folder becomes one file, the same bytes each time."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from studies.archive import contents
from studies.archive.contents import File, Manifest
from studies.errors import InputError
from studies.tracker.spool import read_events, read_whole

KEPT = ("study", "data")  # of the spool's header; addresses of trackers stay at home


def pack(folder: Path, archive: Path) -> Manifest:
    """Write the study in `folder` into `archive`, a .tar.gz that appears when it is whole.

    Raises InputError where there is no study, or one that is running.
    """
    if not (folder / contents.LEDGER).is_file() or not (folder / contents.EVENTS).is_file():
        raise InputError(f"{folder} holds no study: name one whose folder has a ledger.journal")
    with _held(folder / contents.LEDGER):
        header = read_whole(folder / contents.HEADER) or {}
        text = json.dumps({name: header.get(name) for name in KEPT}, sort_keys=True).encode()
        manifest = _manifest(folder, str(header.get("study", folder.name)), text)
        unfinished = archive.with_name(f".{archive.name}.{os.getpid()}")
        try:
            archive.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                _write(file, folder, manifest, text)
            os.replace(unfinished, archive)
        except OSError as error:
            raise InputError(f"cannot write {archive}: {error.strerror or error}") from error
        finally:
            unfinished.unlink(missing_ok=True)
    return manifest


def begun(events: Path) -> int | None:
    """When the study's own run was opened, in ms; None where the spool does not say."""
    for event in read_events(events, 0, sys.maxsize).events:
        if event["event"] == "run" and event["key"] == "":
            return int(event["time"])
    return None


@contextmanager
def _held(ledger: Path) -> Iterator[None]:
    """Nobody writes to the study meanwhile."""
    with ledger.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{ledger.parent} is running: pack it when it has stopped") from error
        yield


def _manifest(folder: Path, study: str, header: bytes) -> Manifest:
    files = [File(name=contents.HEADER, size=len(header), sha256=sha256(header).hexdigest())]
    for name, path in contents.packed_files(folder):
        digest = contents.sha256(path)
        files.append(File(name=name, size=path.stat().st_size, sha256=digest))
    began = begun(folder / contents.EVENTS)
    return Manifest(format=contents.FORMAT, study=study, begun_ms=began, files=files)


def _write(file: Any, folder: Path, manifest: Manifest, header: bytes) -> None:
    """Without times, owners and names of machines, so that equal studies give equal archives."""
    whole = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6)
    with whole, tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT) as tar:
        text = manifest.model_dump_json(indent=1).encode()
        tar.addfile(_entry(contents.MANIFEST, len(text)), io.BytesIO(text))
        tar.addfile(_entry(contents.HEADER, len(header)), io.BytesIO(header))
        for name, path in contents.packed_files(folder):
            with path.open("rb") as source:
                tar.addfile(_entry(name, path.stat().st_size), source)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry
