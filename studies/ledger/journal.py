"""The ledger's file: an Optuna journal that one driver writes, whole lines only.

The format is Optuna's own (optuna-dashboard opens it); what differs from its file backend is that
a torn last line is repaired, a full disk leaves the file whole, and a line costs no fsync of its
own: `commit` makes everything written so far durable.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from studies.errors import StudyError

# `json.dumps` would make an encoder for each line.
_text = json.JSONEncoder(separators=(",", ":")).encode


class LedgerError(StudyError):
    """The ledger cannot be opened, read or written; the message says what to do."""


class Journal(BaseJournalBackend):
    """Append-only JSON lines, held exclusively while open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repaired: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise LedgerError(f"cannot write the ledger {path}: {error.strerror}") from error
        self._lock()
        self._size = self._repair_tail()
        self._count = self.path.read_bytes().count(b"\n")
        self._recent: list[dict[str, Any]] = []
        self._held: list[bytes] = []
        self._depth = 0
        self._dirty = False

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise LedgerError(
                f"another driver is running this study ({self.path} is locked): "
                "wait for it or stop it"
            ) from error

    def _repair_tail(self) -> int:
        """Cut a torn last line off, keeping it beside the ledger; the size in bytes."""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        last = content[content.rfind(b"\n", 0, max(whole - 1, 0)) + 1 : whole]
        if last and parsed(last)[1]:
            whole -= len(last)
        if whole < len(content):
            torn = self.path.with_name(f"{self.path.name}.torn-{time.time_ns()}")
            torn.write_bytes(content[whole:])
            os.truncate(self.path, whole)
            self.repaired = (
                f"the ledger's last line was torn ({len(content) - whole} bytes, kept in "
                f"{torn.name}); everything before it is intact"
            )
        return whole

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Logs from a number on: from memory right after an append, else from the file.

        Optuna asks before each of its steps; nobody else writes, so mostly there is nothing new.
        """
        if log_number_from == self._count:
            return
        if self._recent and log_number_from == self._count - len(self._recent):
            recent, self._recent = self._recent, []
            yield from recent
            return
        lines = self.path.read_bytes().split(b"\n")[:-1]
        for number, line in enumerate(lines):
            if number >= log_number_from:
                yield self._parse(number, line)
            self._count = max(self._count, number + 1)
        self._recent = []

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        log, fault = parsed(line)
        if fault:
            raise LedgerError(
                f"{self.path}:{number + 1} is damaged ({fault}): a disk has changed what was "
                "written; restore the file from a copy, or take out what cannot be read, which "
                "keeps all the rest: "
                f"python -m studies.ledger.mend {shlex.quote(str(self.path))}"
            )
        return log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append `logs` as whole lines; inside `together` they are written when it ends."""
        self._held += (_text(log).encode() + b"\n" for log in logs)
        self._count += len(logs)
        self._recent.extend(logs)
        if not self._depth:
            self._write()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is appended inside reaches the file in one write: all of it or none.

        Also where the block raises: memory and file must not part.
        """
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._write()

    def _write(self) -> None:
        """All held lines, or none of them."""
        lines, self._held = b"".join(self._held), []
        try:
            written = os.write(self._fd, lines)
            while written < len(lines):  # a nearly full disk takes a part before it refuses
                written += os.write(self._fd, lines[written:])
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise self._refused(error) from error
        self._size += len(lines)
        self._dirty = True

    def commit(self) -> None:
        """Make everything appended so far survive a crash of the machine."""
        if self._dirty:
            try:
                os.fsync(self._fd)
            except OSError as error:
                raise self._refused(error) from error
            self._dirty = False

    def _refused(self, error: OSError) -> LedgerError:
        return LedgerError(
            f"cannot write the ledger {self.path}: {error.strerror}; nothing of it is lost: "
            "make room and resume"
        )

    def close(self) -> None:
        """Commit and release the lock."""
        try:
            self.commit()
        finally:
            os.close(self._fd)


def parsed(line: bytes) -> tuple[dict[str, Any], str]:
    """What a line logs, and "" or what is wrong with it."""
    try:
        log = json.loads(line)
    except ValueError as error:
        return {}, str(error)
    if not isinstance(log, dict) or not isinstance(log.get("op_code"), int):
        return {}, "it logs nothing"
    return log, ""
