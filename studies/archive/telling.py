"""Telling a tracker of an unpacked study: all that its spool holds, once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from studies.archive import unpacking
from studies.archive.contents import Manifest
from studies.errors import InputError, StudyError
from studies.tracker.address import redact
from studies.tracker.location import artifact_location
from studies.tracker.sender import Sender, hold_lock, read_state
from studies.tracker.spool import Cursor, write_whole
from studies.tracker.store import begun_ms, connect
from studies.tracker.tracker import tracker_header


def check(uri: str, folder: Path, manifest: Manifest) -> None:
    """Raise InputError where the tracker does not answer or has another study of this name."""
    try:
        client = connect(uri, manifest.study, artifact_location(uri, folder))
        others = [ms for ms in begun_ms(client, manifest.study) if ms != manifest.begun_ms]
    except Exception as error:  # a database, a server and MLflow itself raise anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the tracker {redact(uri)} cannot be used: {redact(first, uri)}"
        ) from error
    if others:
        raise InputError(
            f"the tracker {redact(uri)} has another study {manifest.study!r}: give another "
            "--storage or --tracking-uri"
        )


def tell(uri: str, folder: Path, study: str) -> None:
    """Deliver everything from the beginning; what is there already changes nothing.

    Raises StudyError for what could not be delivered, which stays in the spool.
    """
    spool = folder / "spool"
    header = tracker_header(spool, uri) | {
        "study": study,
        "artifact_location": artifact_location(uri, folder),
        "data": unpacking.data_sets(folder),
    }
    write_whole(spool / "study.json", json.dumps(header))
    Cursor(spool).advance(0)
    lock = hold_lock(spool)
    try:
        sender = Sender(spool, uri, None)
        whole = sender.run() and _closed(sender)
    finally:
        lock.close()
    if not whole:
        raise UndeliveredError(
            f"unpacked, but the tracker did not take all of it ({read_state(spool).error}): send "
            f"the rest with python -m studies.tracker.sender {spool}"
        )


def _closed(sender: Sender) -> bool:
    """Whether the runs that were under way when the study was packed are closed, as there."""
    try:
        sender.abandon()
    except Exception as error:  # a tracker raises anything
        print(f"note: runs stay open: {error}", file=sys.stderr)
        return False
    return True


class UndeliveredError(StudyError):
    """The study is there, and its tracker lacks some of it."""

    exit_code = 3
