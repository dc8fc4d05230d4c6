"""The driver's side of the tracker: events in, no waiting, no dependence on MLflow being there."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.tracker import names, pages
from studies.tracker.address import has_secret, redact, sqlite_file
from studies.tracker.line import begin, hung_up, start_sender
from studies.tracker.sender import SenderState, read_state
from studies.tracker.spool import Cursor, Spool, read_events, read_whole, write_whole

PATIENCE_S = 30.0  # how long `close` waits without any progress


def now_ms() -> int:
    """Milliseconds since the epoch, as MLflow counts time."""
    return time.time_ns() // 1_000_000


class Tracker:
    """Records one study: every method returns at once, the sender delivers.

    sender: the line to one that was started ahead, for this folder and this tracker. data: the
    study's data sets, as `Delivery` takes them. `damaged` names the lines of the spool that
    cannot be read: what they said is left out, unless it is told again.
    """

    def __init__(
        self,
        folder: Path,
        uri: str,
        study: str,
        artifact_location: str | None = None,
        sender: socket.socket | None = None,
        data: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.folder = folder
        self.uri = uri
        self.study_name = study
        self._home = f"{folder.absolute().parent}{os.sep}"
        self.spool = Spool(folder)
        header = tracker_header(folder, uri)
        cursor, before = Cursor(folder), read_whole(folder / "study.json") or header
        cursor.check(self.spool.path)
        if before.get("address", header["address"]) != header["address"]:
            cursor.advance(0)  # another tracker: it gets all from the beginning
        header |= {"study": study, "artifact_location": artifact_location, "data": list(data)}
        write_whole(folder / "study.json", json.dumps(header))
        self._told: dict[str, set[int]] = {}  # epochs that are in the spool, by trial
        self._results: dict[str, float] = {}  # of the study, as last told
        self._cost: dict[str, dict[str, float]] = {}  # so far, by trial
        self._last: dict[str, str] = {}  # the status in which a run's events leave it
        self.damaged = self._look_back()
        self._sender = sender or self._start_sender()
        begin(self._sender)

    def _look_back(self) -> list[str]:
        """Learn from the spool what was told by drivers before; the lines that are none."""
        events, _, damaged = read_events(self.spool.path, 0, sys.maxsize)
        for event in events:
            match event["event"]:
                case "metrics":
                    self._told.setdefault(event["key"], set()).add(event["epoch"])
                    self._cost.setdefault(event["key"], {}).update(_costs(event["values"]))
                case "result":
                    self._results = event["values"]
                case "run":
                    self._last[event["key"]] = "running"
                case "status" if event["key"] in self._last:
                    self._last[event["key"]] = event["status"]
        return damaged

    def last_status(self, key: str) -> str | None:
        """How the spool leaves a run; None where it does not hold how the run was opened."""
        return self._last.get(key)

    def _start_sender(self) -> socket.socket:
        return start_sender(self.folder, self.uri)

    def _sender_lives(self) -> bool:
        return not hung_up(self._sender)

    def _tend(self) -> None:
        """A sender that was killed gets a successor."""
        if not self._sender_lives():
            self._sender.close()
            self._sender = self._start_sender()
            begin(self._sender)

    def study(self, tags: dict[str, Any], params: dict[str, Any], note: str) -> None:
        """Open the parent run."""
        tags = {names.ROLE: names.ROLE_STUDY, names.NOTE: note, **tags}
        self._run("", self.study_name, tags, params)

    def trial(self, key: str, tags: dict[str, Any], params: dict[str, Any]) -> None:
        """Open, or open again, the run of a trial."""
        self._tend()
        tags = {names.ROLE: names.ROLE_TRIAL, names.STATUS: "running", names.REASON: "", **tags}
        self._run(key, pages.run_name(key), tags, params)

    def _run(self, key: str, name: str, tags: dict[str, Any], params: dict[str, Any]) -> None:
        self.spool.append(event="run", key=key, name=name, tags=tags, params=params, time=now_ms())

    def metrics(self, key: str, epoch: int, values: dict[str, float], time_ms: int) -> None:
        """A trial's metrics after `epoch`, once: one that goes on repeats what it told before.

        What the epoch cost becomes what the trial has cost so far.
        """
        if epoch in self._told.setdefault(key, set()):
            return
        self._told[key].add(epoch)
        so_far, costs = self._cost.setdefault(key, {}), _costs(values)
        for name, value in costs.items():
            before = so_far.get(name, 0.0)
            so_far[name] = before + value if name in names.ADDED_UP else max(before, value)
        values = values | {name: so_far[name] for name in costs}
        self.spool.append(event="metrics", key=key, epoch=epoch, values=values, time=time_ms)

    def result(self, step: int, values: dict[str, float]) -> None:
        """What the whole study has come to, as metrics of its run; once, unless it has changed.

        step: how much was trained for it, so that of two the later one counts.
        """
        if values and values != self._results:
            self._results = values
            self.spool.append(event="result", key="", epoch=step, values=values, time=now_ms())

    def tags(self, key: str, tags: dict[str, Any]) -> None:
        """Set tags of a run; key "" is the study's."""
        self.spool.append(event="tags", key=key, tags=tags)

    def artifact(self, key: str, path: Path, folder: str | None = None) -> None:
        """Attach a file, which must stay where it is, in the study's folder, until delivered."""
        place = str(path.absolute()).removeprefix(self._home)  # no pathlib: twice for each trial
        self.spool.append(event="artifact", key=key, path=place, folder=folder)

    def ended(self, key: str, status: str, reason: str) -> None:
        """How a run ended; key "" is the study's."""
        self.spool.append(event="status", key=key, status=status, reason=reason, time=now_ms())

    def commit(self) -> None:
        """Make all events survive a crash of the machine."""
        self.spool.commit()

    def flush(self) -> None:
        """Nothing more for a while: the sender need not wait for events to gather."""
        self.spool.append(event="flush")

    def state(self) -> SenderState:
        """What the sender has delivered, and what troubles it."""
        return read_state(self.folder)

    def close(self, patience: float = PATIENCE_S) -> str:
        """End the session; what could not be delivered, in one sentence, "" if all was.

        Waits for as long as the sender makes progress, and `patience` seconds beyond that.
        """
        self.spool.append(event="close")
        self.spool.close()
        self._tend()
        delivered, deadline = -1, time.monotonic() + patience
        while self._sender_lives() and time.monotonic() < deadline:
            now = self.state().delivered
            if now > delivered:
                delivered, deadline = now, time.monotonic() + patience
            time.sleep(0.05)
        self._sender.close()  # a sender that still tries does so a little longer, then ends
        return self._undelivered(self.state())

    def _undelivered(self, state: SenderState) -> str:
        left = []
        if self.spool.size > state.delivered:
            left.append(f"{self.spool.size - state.delivered} bytes of events")
        if state.postponed:
            left.append(f"{state.postponed} files")
        if not left:
            return ""
        return (
            f"{' and '.join(left)} could not be delivered to the tracker "
            f"({state.error or 'no answer'}); they are kept: send them with "
            f"python -m studies.tracker.sender {shlex.quote(str(self.folder))}"
        )


def _costs(values: dict[str, float]) -> dict[str, float]:
    """What of an epoch's metrics is recorded as it stands so far."""
    return {k: v for k, v in values.items() if k in names.ADDED_UP or k == names.MEMORY_MIB}


def tracker_header(folder: Path, uri: str) -> dict[str, Any]:
    """What a spool remembers of its tracker: nothing secret, and nothing that a move changes."""
    database = sqlite_file(uri)
    if database is not None and database.parent == folder.absolute().parent.parent:
        return {"embedded": database.name, "address": f"embedded {database.name}"}
    address = hashlib.sha256(redact(uri).encode()).hexdigest()[:16]
    return {"address": address} if has_secret(uri) else {"address": address, "uri": uri}
