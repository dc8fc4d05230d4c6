"""The sender against a tracker that fails in every way, without MLflow."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from studies.tracker import line, sender
from studies.tracker.sender import Sender, read_state
from studies.tracker.spool import Spool
from studies.tracker.tracker import Tracker


class FakeDelivery:
    """Notes what it is given; fails as told."""

    def __init__(self, refused: Callable[[dict[str, Any], Exception], None]) -> None:
        self.refused = refused
        self.runs = {"": SimpleNamespace(run_id="r")}
        self.experiment = "1"
        self.heard: list[Any] = []
        self.broken_store = False
        self.down = 0
        self.abandoned = False

    def deliver(self, events: Any) -> None:
        for event in events:
            if self.down:
                self.down -= 1
                raise ConnectionError("nobody there")
            if event["event"] == "artifact" and self.broken_store:
                self.refused(event, OSError("Read-only file system"))
            else:
                self.heard.append(event.get("n", event.get("path")))

    def abandon(self, last: dict[str, int]) -> None:
        self.abandoned = True


class Desk:
    """A spool, the driver's end of the line, and a sender with its fake."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder)
        self.line, theirs = socket.socketpair()
        self.sender = Sender(folder, "http://tracker", theirs)
        self.fake = FakeDelivery(self.sender._refused)
        self.sender._connect = lambda: self.fake  # type: ignore[method-assign, assignment]

    def event(self, number: int) -> None:
        self.spool.append(event="metrics", key="", n=number)

    def artifact(self, path: str) -> None:
        self.spool.append(event="artifact", key="", path=path, folder=None)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(sender, "FAREWELL_S", 0.3)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_after_an_outage_everything_comes_in_order(desk: Desk) -> None:
    for number in range(5):
        desk.event(number)
    desk.spool.append(event="close")
    desk.fake.down = 3
    assert desk.sender.run()
    assert desk.fake.heard == [0, 1, 2, 3, 4]
    assert not desk.fake.abandoned
    assert read_state(desk.spool.folder).delivered == desk.spool.size


def test_a_tracker_that_stays_away_is_named_and_nothing_is_skipped(desk: Desk) -> None:
    desk.event(0)
    desk.line.close()
    desk.fake.down = 10**9
    assert not desk.sender.run()
    assert read_state(desk.spool.folder).error == "ConnectionError: nobody there"
    assert desk.sender.cursor.offset == 0


@pytest.mark.parametrize("sign", ["flush", "close"])
def test_events_gather_until_told_that_nothing_more_comes(desk: Desk, sign: str) -> None:
    desk.event(0)
    assert not desk.sender._urged()
    desk.spool.append(event=sign)
    assert desk.sender._urged()
    assert desk.sender._deliver_some() == (True, sign == "close")
    assert desk.fake.heard == [0]
    desk.event(1)
    assert not desk.sender._urged()


def test_a_dead_driver_has_its_events_delivered_and_its_runs_closed(desk: Desk) -> None:
    desk.event(0)
    desk.line.close()
    assert desk.sender.run()
    assert desk.fake.heard == [0]
    assert desk.fake.abandoned


def test_runs_that_a_later_driver_has_taken_up_stay_open(desk: Desk) -> None:
    desk.event(0)
    desk.line.close()
    desk.sender.end = desk.spool.size
    desk.event(1)  # the next driver's
    assert desk.sender.run()
    assert desk.fake.heard == [0]
    assert not desk.fake.abandoned


def test_a_broken_artifact_store_holds_up_no_metrics(desk: Desk) -> None:
    desk.fake.broken_store = True
    for name in ("/weights", "/config", "/weights"):
        desk.artifact(name)
    desk.event(7)
    desk.spool.append(event="close")
    assert not desk.sender.run()
    assert desk.fake.heard == [7]
    state = read_state(desk.spool.folder)
    assert (state.postponed, state.delivered) == (2, desk.spool.size)
    assert "Read-only file system" in state.error
    again = Sender(desk.spool.folder, "http://tracker", None)
    mended = FakeDelivery(again._refused)
    again._connect = lambda: mended  # type: ignore[method-assign, assignment, return-value]
    assert again.run()
    assert mended.heard == ["/weights", "/config"]
    assert read_state(desk.spool.folder).postponed == 0


def test_a_full_disk_does_not_end_the_delivery(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [OSError("No space left on device")] * 6

    def write(path: Path, text: str) -> None:
        if refusals:
            raise refusals.pop()
        path.write_text(text)

    monkeypatch.setattr(sender, "write_whole", write)
    monkeypatch.setattr("studies.tracker.spool.write_whole", write)
    desk.event(0)
    desk.spool.append(event="close")
    assert desk.sender.run()
    assert set(desk.fake.heard) == {0}


def test_a_cursor_torn_by_a_crash_means_that_all_is_delivered_again(tmp_path: Path) -> None:
    (tmp_path / "delivered").write_text("")
    desk = Desk(tmp_path)
    desk.event(0)
    desk.spool.append(event="close")
    assert desk.sender.run()
    assert desk.fake.heard == [0]


NOTES_ITS_PARENT = """
import os, socket, sys, time
line = socket.socket(fileno=int(sys.argv[sys.argv.index("--line") + 1]))
open(sys.argv[1] + "/here", "a").write(f"{os.getppid()} {os.getpgid(0)}\\n")
sys.exit(3) if os.path.exists(sys.argv[1] + "/die") else line.recv(1) and line.recv(1)
open(sys.argv[1] + "/over", "w").close()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the sender's place."""
    program = tmp_path / "program.py"
    program.write_text(NOTES_ITS_PARENT)
    monkeypatch.setattr(line, "SENDER", ("python3", str(program)))
    return tmp_path / "spool"


def lines(path: Path, count: int) -> list[str]:
    deadline = time.monotonic() + 60
    while len(found := path.read_text().splitlines() if path.exists() else []) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_the_sender_is_nobodys_child_and_hears_the_driver_hang_up(stand_in: Path) -> None:
    """`ray job stop` kills all descendants of the driver; Ctrl-C its process group."""
    study = Tracker(stand_in, "sqlite:///x", "s")
    parent, group = map(int, lines(stand_in / "here", 1)[0].split())
    assert parent != os.getpid()
    assert group != os.getpgid(0)
    assert study._sender_lives()
    study._sender.close()
    deadline = time.monotonic() + 60
    while not (stand_in / "over").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("folder_exists", [False, True])
def test_a_sender_that_is_never_told_to_begin_leaves_nothing(
    tmp_path: Path, folder_exists: bool
) -> None:
    """The driver of bad input, or one that a signal ends while Ray starts."""
    spool = tmp_path / "s" / "spool"
    if folder_exists:
        spool.mkdir(parents=True)
    ours = line.start_sender(spool, f"sqlite:///{tmp_path}/mlflow.db")
    ours.close()
    deadline = time.monotonic() + 60
    while senders(spool):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (tmp_path / "mlflow.db").exists()
    assert spool.exists() == folder_exists
    assert not list(spool.glob("*"))


def test_one_sender_started_ahead_does_the_work(tmp_path: Path) -> None:
    spool, uri = tmp_path / "spool", f"sqlite:///{tmp_path}/mlflow.db"
    ahead = line.start_sender(spool, uri)
    study = Tracker(spool, uri, "s", sender=ahead)
    assert len(senders(spool)) == 1
    study.study({}, {}, "")
    assert study.close() == ""
    assert (spool / "sender.log").exists()


def senders(spool: Path) -> list[int]:
    """The processes that were started for this spool, the shell that starts one included."""
    processes = psutil.process_iter(["cmdline"])
    return [p.pid for p in processes if str(spool) in (p.info["cmdline"] or [])]


def test_a_dead_sender_gets_a_successor(stand_in: Path) -> None:
    stand_in.mkdir()
    (stand_in / "die").touch()
    study = Tracker(stand_in, "sqlite:///x", "s")
    lines(stand_in / "here", 1)
    while study._sender_lives():
        time.sleep(0.01)
    (stand_in / "die").unlink()
    study.trial("0000", {}, {})
    lines(stand_in / "here", 2)
    assert study._sender_lives()
    study._sender.close()


def test_what_was_not_delivered_is_told_with_the_command(stand_in: Path) -> None:
    study = Tracker(stand_in, "sqlite:///x", "s")
    study.study({}, {}, "")
    told = study.close(patience=0.1)
    assert "bytes of events could not be delivered to the tracker (no answer)" in told
    assert told.endswith(f"python -m studies.tracker.sender {stand_in}")
    header = json.loads((stand_in / "study.json").read_text())
    assert header["uri"] == "sqlite:///x"


def test_the_sender_stands_back_in_the_drivers_session_but_not_in_its_group(
    tmp_path: Path,
) -> None:
    driver = Tracker(tmp_path / "spool", f"sqlite:///{tmp_path}/mlflow.db", "s")
    (found,) = senders(tmp_path / "spool")
    deadline = time.monotonic() + 30
    while os.getpriority(os.PRIO_PROCESS, found) != 19 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert os.getpriority(os.PRIO_PROCESS, found) == 19
    assert os.getsid(found) == os.getsid(0)  # another session may be given half of the CPU
    assert os.getpgid(found) != os.getpgid(0)  # Ctrl-C is for the driver
    assert driver.close() == ""
