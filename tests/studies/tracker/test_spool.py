from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from studies.tracker.spool import (
    Cursor,
    Postponed,
    Spool,
    read_events,
    read_whole,
    write_whole,
)


def test_events_come_back_in_order_and_in_parts(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for i in range(5):
        spool.append(event="e", n=i)
    first, offset, _ = read_events(spool.path, 0, limit=3)
    rest, end, _ = read_events(spool.path, offset, limit=3)
    assert [e["n"] for e in first + rest] == [0, 1, 2, 3, 4]
    assert end == spool.size


def test_a_torn_line_is_neither_read_nor_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(event="e", n=0)
    spool.close()
    with spool.path.open("ab") as file:
        file.write(b'{"event": "e", "n"')
    assert len(read_events(spool.path, 0, limit=9)[0]) == 1
    again = Spool(tmp_path)
    again.append(event="e", n=1)
    assert [e["n"] for e in read_events(spool.path, 0, limit=9)[0]] == [0, 1]


@pytest.mark.parametrize("damage", [b"\0", b"\xff", b"[1]", b"{}", b'"x"'])
def test_a_damaged_line_is_named_and_the_others_are_read(tmp_path: Path, damage: bytes) -> None:
    spool = Spool(tmp_path)
    for i in range(4):
        spool.append(event="e", n=i)
    lines = spool.path.read_bytes().splitlines()
    spool.path.write_bytes(b"\n".join([lines[0], damage, lines[2], lines[3]]) + b"\n")
    reading = read_events(spool.path, 0, limit=9)
    assert [e["n"] for e in reading.events] == [0, 2, 3]
    assert reading.offset == spool.path.stat().st_size
    (named,) = reading.damaged
    assert named.startswith(f"{spool.path}:2 is damaged (")
    later = read_events(spool.path, len(lines[0]) + 1, limit=9)
    assert later.damaged == [named]


def test_reading_stops_at_a_given_end(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(event="e", n=0)
    end = spool.size
    spool.append(event="e", n=1)
    assert read_events(spool.path, 0, limit=9, end=end) == ([{"event": "e", "n": 0}], end, [])


def test_a_full_disk_leaves_only_whole_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    spool.append(event="e", n=0)
    real, first = os.write, [True]

    def full(fd: int, data: bytes) -> int:
        if first.pop() if first else False:
            return real(fd, data[:3])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        spool.append(event="e", n=1)
    monkeypatch.undo()
    spool.append(event="e", n=2)
    assert [e["n"] for e in read_events(spool.path, 0, limit=9)[0]] == [0, 2]


def test_the_cursor_is_remembered(tmp_path: Path) -> None:
    assert Cursor(tmp_path).offset == 0
    Cursor(tmp_path).advance(17)
    assert Cursor(tmp_path).offset == 17


@pytest.mark.parametrize("lost", [1, 5, 40])
def test_a_spool_that_lost_what_was_delivered_is_delivered_from_its_beginning(
    tmp_path: Path, lost: int
) -> None:
    """After a power failure the spool may be shorter than what the sender has read."""
    spool = Spool(tmp_path)
    for i in range(3):
        spool.append(event="e", n=i)
    whole = spool.size
    cursor = Cursor(tmp_path)
    cursor.advance(whole)
    cursor.check(spool.path)
    assert cursor.offset == whole
    os.truncate(spool.path, whole - lost)
    spool = Spool(tmp_path)
    spool.append(event="e", n=1000)
    cursor.check(spool.path)
    assert Cursor(tmp_path).offset == 0


def test_a_file_that_a_crash_left_empty_reads_as_none(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_whole(path) is None
    path.touch()
    assert read_whole(path) is None
    write_whole(path, '{"a": 1}')
    assert read_whole(path) == {"a": 1}
    (tmp_path / "postponed.json").touch()
    assert len(Postponed(tmp_path)) == 0
