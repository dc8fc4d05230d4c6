"""The driver's side: what it remembers of the drivers before it."""

from __future__ import annotations

import socket
from pathlib import Path

from studies.tracker.spool import Cursor, read_events
from studies.tracker.tracker import Tracker


class SpoolOnly(Tracker):
    """A tracker whose events stay in the spool."""

    def _start_sender(self) -> socket.socket:
        return socket.socketpair()[0]


def epochs(folder: Path) -> list[tuple[str, int, int]]:
    found, _ = read_events(folder / "events.jsonl", 0, 10**6)
    return [(e["key"], e["epoch"], e["time"]) for e in found if e["event"] == "metrics"]


def test_an_epoch_is_told_once_whoever_repeats_it(tmp_path: Path) -> None:
    """A driver killed between spool and ledger: its successor trains an epoch that was told."""
    first = SpoolOnly(tmp_path, "sqlite:///x", "s")
    first.metrics("0000", 1, {"a": 1.0}, 10)
    first.metrics("0000", 2, {"a": 1.0}, 20)
    first.spool.close()
    second = SpoolOnly(tmp_path, "sqlite:///x", "s")
    second.metrics("0000", 2, {"a": 1.0}, 99)
    second.metrics("0000", 3, {"a": 1.0}, 100)
    second.metrics("0001", 1, {"a": 1.0}, 101)
    assert epochs(tmp_path) == [
        ("0000", 1, 10),
        ("0000", 2, 20),
        ("0000", 3, 100),
        ("0001", 1, 101),
    ]


def test_another_tracker_is_told_everything_from_the_beginning(tmp_path: Path) -> None:
    first = SpoolOnly(tmp_path, "sqlite:///x", "s")
    first.metrics("0000", 1, {"a": 1.0}, 10)
    Cursor(tmp_path).advance(first.spool.size)
    SpoolOnly(tmp_path, "sqlite:///x", "s")
    assert Cursor(tmp_path).offset == first.spool.size
    SpoolOnly(tmp_path, "http://elsewhere", "s")
    assert Cursor(tmp_path).offset == 0


def test_a_password_is_in_no_file(tmp_path: Path) -> None:
    for number, uri in enumerate(("http://ada:s3cret@h:1", "postgresql://ada:s3/cret@h/db")):
        SpoolOnly(tmp_path / str(number), uri, "s")
    for path in tmp_path.rglob("*.*"):
        assert "s3" not in (path.read_text() if path.is_file() else "")
