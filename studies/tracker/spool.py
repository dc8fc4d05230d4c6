"""The spool: every event meant for the tracker, in order, on disk before anything is sent.

The driver appends and never waits for a tracker; the sender (a process of its own) delivers. An
event may be delivered twice, after a crash: each is made so that the second time changes nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

# `json.dumps` would make an encoder for each line.
_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class SpoolError(OSError):
    """The spool cannot be written; the message is for the user."""


class Spool:
    """Append-only JSON lines in `folder`; one writer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "events.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise self._refused(error) from error
        self._size = self._cut_torn_line()

    @property
    def size(self) -> int:
        """Bytes of whole events so far."""
        return self._size

    def append(self, **event: Any) -> None:
        """Add an event; raises SpoolError where the disk is full, leaving only whole events."""
        line = _text(event).encode() + b"\n"
        try:
            written = os.write(self._fd, line)
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise self._refused(error) from error
        self._size += len(line)

    def commit(self) -> None:
        """Make all events survive a crash of the machine."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> SpoolError:
        return SpoolError(
            f"cannot write the tracker's spool {self.path}: {error.strerror or error}; nothing "
            "of it is lost: make room and resume"
        )

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        os.close(self._fd)

    def _cut_torn_line(self) -> int:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._fd, whole)
        return whole


class Cursor:
    """How far the sender has delivered, in bytes of the spool, kept on disk."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "delivered"
        text = self.path.read_text() if self.path.exists() else ""
        self.offset = int(text) if text.isdigit() else 0  # torn by a crash: deliver all again

    def check(self, events: Path) -> None:
        """Begin anew where the spool has lost, to a power failure, what was delivered already."""
        with events.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, min(self.offset, size) - 1))
            if self.offset > size or (self.offset and file.read(1) != b"\n"):
                self.advance(0)

    def advance(self, offset: int) -> None:
        """Record that everything before `offset` has been delivered."""
        write_whole(self.path, str(offset))
        self.offset = offset


class Postponed:
    """Files that the tracker refused while it took everything else, to be offered again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "postponed.json"
        self.events: list[dict[str, Any]] = read_whole(self.path) or []

    def __len__(self) -> int:
        return len(self.events)

    def add(self, event: dict[str, Any]) -> None:
        """Keep an artifact event, once."""
        if event not in self.events:
            self.replace([*self.events, event])

    def replace(self, events: list[dict[str, Any]]) -> None:
        """What is left to offer."""
        write_whole(self.path, json.dumps(events))
        self.events = events


def write_whole(path: Path, text: str) -> None:
    """Replace `path` so that a reader, also after a power failure, sees the old text or the new."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_whole(path: Path) -> Any:
    """The JSON in `path`; None where there is none, or none that a crash has left whole."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


class Reading(NamedTuple):
    """Events, the offset in bytes after them, and a sentence for each line that is none."""

    events: list[dict[str, Any]]
    offset: int
    damaged: list[str]


def read_events(path: Path, offset: int, limit: int, end: int | None = None) -> Reading:
    """Up to `limit` whole events from `offset` on, not beyond `end`.

    A line that a failing disk has changed is left out, and stays in the file.
    """
    events: list[dict[str, Any]] = []
    damaged: list[str] = []
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            beyond = end is not None and offset + len(line) > end
            if beyond or not line.endswith(b"\n") or len(events) == limit:
                break
            event, fault = _parsed(line)
            if event is None:
                damaged.append(f"{path}:{_line_number(path, offset)} is damaged ({fault})")
            else:
                events.append(event)
            offset += len(line)
    return Reading(events, offset, damaged)


def _parsed(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """The event of a line, or what is wrong with the line."""
    try:
        event = json.loads(line)
    except ValueError as error:
        return None, str(error)
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None, "it holds no event"
    return event, ""


def _line_number(path: Path, offset: int) -> int:
    """Of the line that begins at `offset`, from 1."""
    with path.open("rb") as file:
        return file.read(offset).count(b"\n") + 1
