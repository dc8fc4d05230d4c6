"""The line between a driver and its sender: who starts whom, when to begin, who is gone.

The sender speaks first: one line of JSON, whether the tracker can be written. Then it waits for the
driver's word, and without it undoes what it did to find out.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

URI_VARIABLE = "VAE_STUDIES_TRACKING_URI"
SENDER = (sys.executable, "-m", "studies.tracker.sender")
BEGIN = b"!"
DISMISS_S = 10.0
ANSWER_S = 180.0  # on a busy machine MLflow alone takes half a minute to import


def start_sender(
    folder: Path, uri: str, study: str = "", artifact_location: str | None = None
) -> socket.socket:
    """Our end of a line to a new sender; when one side dies, the other sees the line closed.

    It imports what it needs, seconds, and touches `folder`, its spool, when told to `begin`. With
    the name of a study it first finds out whether that can be recorded: ask for its `answer`.

    The sender is nobody's child, in a process group of its own: Ctrl-C is for the driver, and
    `ray job stop` kills all descendants of the driver, while the sender has to tell MLflow. A
    session of its own would do as well, but Linux may share the CPU by session: half for it.
    """
    ours, theirs = socket.socketpair()
    probe = ["--probe", json.dumps([study, artifact_location])] if study else []
    with theirs:
        line = ["--line", str(theirs.fileno()), *probe]
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *SENDER, str(folder), *line],
            env=os.environ | {URI_VARIABLE: uri, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,
            check=True,
        )
    return ours


def answer(sender: socket.socket, timeout: float = ANSWER_S) -> dict[str, Any]:
    """The sender's verdict on the tracker, as `probe.Verdict` has it; bounded by `timeout`."""
    deadline, said = time.monotonic() + timeout, b""
    while not said.endswith(b"\n"):
        sender.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            part = sender.recv(4096)
        except TimeoutError:
            return {"error": f"no answer within {timeout:.0f} s"}
        except ConnectionError:
            part = b""
        if not part:
            return {"error": "the process that speaks to it (studies.tracker.sender) ended"}
        said += part
    sender.settimeout(None)
    verdict: dict[str, Any] = json.loads(said)
    return verdict


def begin(sender: socket.socket) -> None:
    """Tell it that its spool is there; one that has died already is not missed here."""
    with suppress(ConnectionError):
        sender.send(BEGIN, socket.MSG_NOSIGNAL)


def dismiss(sender: socket.socket) -> None:
    """Where it was not told to begin: let it undo what it tried, and wait for its end, briefly."""
    if sender.fileno() < 0:
        return  # it has begun, and the line is closed
    with sender, suppress(OSError):
        sender.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + DISMISS_S
        while not hung_up(sender) and time.monotonic() < deadline:
            time.sleep(0.02)


def told_to_begin(driver: socket.socket) -> bool:
    """Wait for the driver's word; False if it ended without."""
    try:
        return driver.recv(1) == BEGIN
    except ConnectionError:
        return False


def hung_up(line: socket.socket) -> bool:
    """Whether the process at the other end of the line has ended."""
    try:
        return line.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
