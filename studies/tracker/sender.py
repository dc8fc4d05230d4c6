"""The process that delivers a study's spool to MLflow, beside the driver and never in its way.

It retries for as long as the driver lives; when the driver has ended or died it delivers what is
there and ends. `python -m studies.tracker.sender FOLDER` delivers what an outage left behind.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import json
import logging
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.tracker.address import AddressError, check, redact
from studies.tracker.line import URI_VARIABLE, hung_up, told_to_begin
from studies.tracker.spool import Cursor, Postponed, read_events, read_whole, write_whole

if TYPE_CHECKING:
    from studies.tracker.delivery import Delivery
    from studies.tracker.probe import Probe

BATCH = 500  # events per delivery; the cursor moves after each
IDLE_S = 0.1
PACE_S = 3.0  # between deliveries while a study runs: fewer calls do the same
FULL_BYTES = 200_000  # of events that wait: then there is enough for a batch
SIGNS = ("close", "flush")  # events for the sender itself: the end, and that nobody need wait
LAST_LINES = tuple(b'{"event":"%s"}\n' % sign.encode() for sign in SIGNS)
LONGEST_PAUSE_S = 5.0
FAREWELL_S = 20.0  # how long to go on trying after the driver's death


@dataclass
class SenderState:
    """What the sender tells the driver, in `sender.json`."""

    delivered: int = 0
    error: str = ""
    postponed: int = 0  # files that the tracker refused
    runs: dict[str, str] | None = None  # ids by key, once all is delivered: it may be long
    notes: list[str] = field(default_factory=list)  # what was mended in the tracker
    experiment: str = ""  # its id


def read_state(folder: Path) -> SenderState:
    """The sender's latest word; an empty state before its first."""
    return SenderState(**(read_whole(folder / "sender.json") or {}))


class Sender:
    """Delivers `folder`'s spool; one sender per spool at a time."""

    def __init__(self, folder: Path, uri: str, driver: socket.socket | None) -> None:
        """driver: the line to the driver; None: deliver what an outage left behind."""
        self.folder = folder
        self.uri = uri
        self.driver = driver
        self.cursor = Cursor(folder)  # in bytes of the spool
        self.postponed = Postponed(folder)
        self.refusal = ""
        self.delivery: Delivery | None = None
        self.notes: list[str] = []
        self.experiment = read_state(folder).experiment
        self.pause = IDLE_S
        self.end: int | None = None

    def run(self) -> bool:
        """Deliver until the spool is closed or the driver gone; True if all was delivered."""
        deadline: float | None = None
        while True:
            alone = self.driver is None or hung_up(self.driver)
            if alone and self.end is None:  # what a later driver appends is for its own sender
                self.end = self._spooled
                deadline = time.monotonic() + FAREWELL_S
            progress, closed = self._deliver_some()
            if closed or (self.end is not None and self.cursor.offset >= self.end):
                return self._offer_again() and (closed or self._farewell())
            if deadline is not None and not progress and time.monotonic() > deadline:
                return False
            if not progress:
                time.sleep(self.pause)
            elif not alone:
                self._gather()

    def _gather(self) -> None:
        """Let events collect, so that a run's go out in one call; not at the end of a study."""
        deadline = time.monotonic() + PACE_S
        while time.monotonic() < deadline and not self._urged():
            time.sleep(IDLE_S)

    def _urged(self) -> bool:
        """Whether there is no reason to wait: enough has collected, or nothing more will come."""
        size = self._spooled
        with (self.folder / "events.jsonl").open("rb") as file:
            file.seek(max(0, size - max(map(len, LAST_LINES))))
            closed = file.read().endswith(LAST_LINES)
        ended = closed or self.driver is None or hung_up(self.driver)
        return ended or size - self.cursor.offset > FULL_BYTES

    @property
    def _spooled(self) -> int:
        return (self.folder / "events.jsonl").stat().st_size

    def _offer_again(self) -> bool:
        """Offer the files that were refused once more; True if none is left."""
        try:
            self.delivery = self.delivery or self._connect()
            self._deliver_postponed(self.delivery)
        except Exception as error:
            self._tell(self._line(error))
            return False
        self._tell("", runs={key: run.run_id for key, run in self.delivery.runs.items()})
        return not self.postponed

    def _deliver_postponed(self, delivery: Delivery) -> None:
        for event in list(self.postponed.events):
            self.postponed.replace([e for e in self.postponed.events if e != event])
            delivery.deliver([self._placed(event)])

    def _refused(self, event: dict[str, Any], error: Exception) -> None:
        path, home = Path(event["path"]), self.folder.absolute().parent
        kept = path.relative_to(home) if path.is_relative_to(home) else path
        self.postponed.add(event | {"path": str(kept)})
        name = path.name
        self.refusal = f"{name}: {self._line(error)}"

    def _line(self, error: Exception) -> str:
        return f"{type(error).__name__}: {_first_line(error, self.uri)}"

    def _farewell(self) -> bool:
        """All of a dead driver's events are delivered: close the runs it left open."""
        if self.driver is None or self._spooled != self.end:
            return True  # a later driver is at work on them
        try:
            self.abandon()
        except Exception as error:
            self._tell(self._line(error))
            return False
        return True

    def abandon(self) -> None:
        """Close the runs that a driver has left open; raises what the tracker raises."""
        last: dict[str, int] = {}
        for event in read_events(self.folder / "events.jsonl", 0, sys.maxsize).events:
            key = str(event.get("key"))
            last[key] = max(last.get(key, 0), event.get("time", 0))
        self.delivery = self.delivery or self._connect()
        self.delivery.abandon({key: time for key, time in last.items() if time})

    def _deliver_some(self) -> tuple[bool, bool]:
        """Deliver one batch; (made progress, met the end of the study's session)."""
        try:
            if self.delivery is None:
                self.delivery = self._connect()
            path = self.folder / "events.jsonl"
            events, offset, damaged = read_events(path, self.cursor.offset, BATCH, self.end)
            closed = bool(events) and events[-1]["event"] == "close"
            closed = closed and offset == self._spooled
            self.delivery.deliver(
                self._placed(event) for event in events if event["event"] not in SIGNS
            )
            if offset > self.cursor.offset:
                for line in damaged:
                    print(f"left out: {line}", file=sys.stderr)
                self.cursor.advance(offset)
                self._tell("")
        except Exception as error:  # the tracker may fail in any way; the study goes on
            self.delivery = None  # whatever we believed about its runs is to be read again
            self.pause = min(self.pause * 2, LONGEST_PAUSE_S)
            self._tell(self._line(error))
            return False, False
        self.pause = IDLE_S
        return bool(events or damaged), closed

    def _placed(self, event: dict[str, Any]) -> dict[str, Any]:
        """An event about a file, which lies in the study's folder wherever that is now."""
        if event["event"] != "artifact":
            return event
        return event | {"path": str(self.folder.absolute().parent / event["path"])}

    def _connect(self) -> Delivery:
        from studies.tracker.delivery import Delivery  # imports mlflow: seconds

        study = json.loads((self.folder / "study.json").read_text())
        data = study.get("data", ())
        delivery = Delivery(
            self.uri, study["study"], study["artifact_location"], self._refused, data
        )
        self.notes += delivery.notes
        self._complete(delivery)
        return delivery

    def _complete(self, delivery: Delivery) -> None:
        """Tell all from the beginning where runs that were delivered are gone for good."""
        events = read_events(
            self.folder / "events.jsonl", 0, sys.maxsize, self.cursor.offset
        ).events
        gone = {str(e["key"]) for e in events if e["event"] == "run"} - delivery.runs.keys()
        if gone:
            self.notes.append(
                f"{len(gone)} runs were deleted for good: made anew from what the study's spool "
                "and folder hold"
            )
            self.cursor.advance(0)

    def _tell(self, error: str, runs: dict[str, str] | None = None) -> None:
        if self.delivery:
            self.experiment = self.delivery.experiment
        if not error and self.postponed:
            error = self.refusal
        state = SenderState(
            self.cursor.offset,
            error.replace(self.uri, "<tracking-uri>"),
            len(self.postponed),
            runs,
            self.notes,
            self.experiment,
        )
        try:
            write_whole(self.folder / "sender.json", json.dumps(asdict(state)))
        except OSError as trouble:  # a full disk must not end the delivery
            print(f"cannot write sender.json: {trouble}", file=sys.stderr)


def _first_line(error: Exception, uri: str) -> str:
    """What an error says: of a request that failed, its cause, which stands at the very end."""
    first = (str(error).strip().splitlines() or [""])[0]
    cause = (
        first.rpartition("(Caused by ")[2].removesuffix(")") if "(Caused by " in first else first
    )
    return redact(cause, uri)[:300]


def hold_lock(folder: Path) -> Any:
    """Wait for another sender to end, then hold the spool's lock."""
    lock = (folder / "sender.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another sender is at work here: waiting for its end", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def main() -> int:
    """Deliver the spool in the folder given; exit code 1 if something could not be delivered."""
    parser = argparse.ArgumentParser(prog="python -m studies.tracker.sender", description=__doc__)
    parser.add_argument("folder", type=Path, help="a study's spool: STORAGE/STUDY/spool")
    parser.add_argument("--tracking-uri", help="where to; default: where the study was sent")
    parser.add_argument("--line", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--probe", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    uri = options.tracking_uri or os.environ.get(URI_VARIABLE) or stored_uri(options.folder)
    set_up_mlflow()
    driver = None
    if options.line is not None:
        driver = socket.socket(fileno=options.line)
        if not get_ready(driver, uri, options.probe):
            return 0
        write_log(options.folder / "sender.log")
    else:
        try:
            check(uri)
        except AddressError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    lock = hold_lock(options.folder)
    try:
        whole = Sender(options.folder, uri, driver).run()
    finally:
        lock.close()
    if not whole:
        print(f"not delivered: {read_state(options.folder).error}", file=sys.stderr)
    return 0 if whole else 1


def set_up_mlflow() -> None:
    """MLflow's settings, of which its own variables may change those of requests."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    # Else the end of each run is printed, and to know its name MLflow asks for the whole run.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def get_ready(driver: socket.socket, uri: str, asked: tuple[str, str | None] | None) -> bool:
    """Import MLflow while the driver starts, say whether it can be used, wait for the word.

    Until the driver has heard what it asked, both are in a hurry: it will wait for this.
    """
    if asked is None:
        stand_back()
    gc.disable()  # there is no garbage among modules
    with suppress(Exception):  # raised again, and told, where it is needed
        import studies.tracker.delivery  # noqa: F401
    gc.enable()
    probe = None
    if asked is not None:
        probe = look(driver, uri, *asked)
        stand_back()
    if told_to_begin(driver):
        return True
    if probe is not None:
        probe.undo()
    return False


def look(
    driver: socket.socket, uri: str, study: str, artifact_location: str | None
) -> Probe | None:
    """Find out whether the study can be recorded, and tell the driver."""
    probe = None
    try:
        from studies.tracker.probe import Probe

        probe = Probe(uri, study, artifact_location)
        said = probe.run().line()
    except Exception as error:  # a database, a server and MLflow itself raise anything
        line = _first_line(error, uri) or type(error).__name__
        said = json.dumps({"error": line, "holds_study": False}).encode() + b"\n"
    with suppress(ConnectionError):
        driver.send(said, socket.MSG_NOSIGNAL)
    return probe


def stand_back() -> None:
    """Training comes first: beside two of Ray's workers, whose niceness is 15, a sixth of the CPU.

    Less, and a short study would end with a queue for this process to deliver alone.
    """
    os.nice(19)


def write_log(path: Path) -> None:
    """From now on, what this process prints is appended to a file."""
    with path.open("ab") as log:
        for standard in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), standard.fileno())


def stored_uri(folder: Path) -> str:
    """The tracking URI in the spool's header; exits with a line if there is none.

    A tracker in the study's storage is found there, also after the storage was moved.
    """
    header = read_whole(folder / "study.json") or {}
    uri = header.get("uri")
    if header.get("embedded"):
        uri = f"sqlite:///{folder.absolute().parent.parent}/{header['embedded']}"
    if not uri:
        sys.exit(f"{folder}: no tracking URI is kept here, give --tracking-uri")
    return str(uri)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the driver waits for this end, and MLflow's modules take long to take apart
