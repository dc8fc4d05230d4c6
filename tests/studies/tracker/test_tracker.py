"""The driver's side: what it remembers of the drivers before it."""

from __future__ import annotations

import socket
from pathlib import Path

from studies.tracker import names
from studies.tracker.sender import Sender, stored_uri
from studies.tracker.spool import Cursor, read_events
from studies.tracker.tracker import Tracker


class SpoolOnly(Tracker):
    """A tracker whose events stay in the spool."""

    def _start_sender(self) -> socket.socket:
        return socket.socketpair()[0]


def epochs(folder: Path) -> list[tuple[str, int, int]]:
    found = read_events(folder / "events.jsonl", 0, 10**6).events
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
    secrets = (
        *("http://ada:s3cret@h:1", "postgresql://ada:s3/cret@h/d", "http://s3cret@h"),
        *("postgresql://h/d?user=u&password=s3cret", "mysql+pymysql://h/d?ssl_key_password=s3cret"),
    )
    for number, uri in enumerate(secrets):
        SpoolOnly(tmp_path / str(number), uri, "s")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2 * len(secrets)
    for path in files:
        assert "s3" not in path.read_text()


def test_a_storage_that_moves_keeps_its_tracker(tmp_path: Path) -> None:
    """Nothing is delivered twice, and the sender is not sent to where the storage was."""
    spool = tmp_path / "old" / "study" / "spool"
    first = SpoolOnly(spool, f"sqlite:///{tmp_path}/old/mlflow.db", "s")
    first.artifact("0000", tmp_path / "old" / "study" / "weights")
    first.artifact("0000", tmp_path / "elsewhere")
    Cursor(spool).advance(first.spool.size)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = tmp_path / "new" / "study" / "spool"
    SpoolOnly(moved, f"sqlite:///{tmp_path}/new/mlflow.db", "s")
    assert Cursor(moved).offset == first.spool.size
    assert stored_uri(moved) == f"sqlite:///{tmp_path}/new/mlflow.db"
    sender = Sender(moved, "x", None)
    placed = [sender._placed(e)["path"] for e in read_events(moved / "events.jsonl", 0, 9).events]
    assert placed == [str(tmp_path / "new" / "study" / "weights"), str(tmp_path / "elsewhere")]


def test_what_a_damaged_line_said_is_not_taken_for_told(tmp_path: Path) -> None:
    first = SpoolOnly(tmp_path, "sqlite:///x", "s")
    first.trial("0000", {}, {})
    for epoch in (1, 2):
        first.metrics("0000", epoch, {"a": 1.0}, epoch)
    first.ended("0000", "finished", "")
    lines = first.spool.path.read_bytes().splitlines()
    first.spool.path.write_bytes(b"\n".join([lines[0], b"\0" + lines[1], *lines[2:]]) + b"\n")
    second = SpoolOnly(tmp_path, "sqlite:///x", "s")
    assert [line.partition(" is")[0] for line in second.damaged] == [f"{first.spool.path}:2"]
    assert (second.last_status("0000"), second.last_status("0001")) == ("finished", None)
    second.metrics("0000", 1, {"a": 1.0}, 3)
    assert epochs(tmp_path) == [("0000", 2, 2), ("0000", 1, 3)]


def test_what_epochs_cost_is_recorded_as_what_the_trial_has_cost(tmp_path: Path) -> None:
    """Across drivers, and once for an epoch that is repeated."""
    first = SpoolOnly(tmp_path, "sqlite:///x", "s")
    first.metrics("0000", 1, {names.CPU_S: 2.0, names.MEMORY_MIB: 9.0, "a": 5.0}, 10)
    first.metrics("0001", 1, {names.CPU_S: 7.0}, 10)
    first.spool.close()
    second = SpoolOnly(tmp_path, "sqlite:///x", "s")
    second.metrics("0000", 1, {names.CPU_S: 2.0}, 10)
    second.metrics("0000", 2, {"a": 1.0}, 20)  # repeated by a checkpoint: nobody measured it
    second.metrics("0000", 3, {names.CPU_S: 3.0, names.MEMORY_MIB: 4.0, "a": 6.0}, 30)
    events = read_events(tmp_path / "events.jsonl", 0, 10**6).events
    assert [e["values"] for e in events if e["key"] == "0000"] == [
        {names.CPU_S: 2.0, names.MEMORY_MIB: 9.0, "a": 5.0},
        {"a": 1.0},
        {names.CPU_S: 5.0, names.MEMORY_MIB: 9.0, "a": 6.0},
    ]
