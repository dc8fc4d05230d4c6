"""The line between a driver and its sender: who starts whom, when to begin, whether one is gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

URI_VARIABLE = "VAE_STUDIES_TRACKING_URI"
SENDER = (sys.executable, "-m", "studies.tracker.sender")
BEGIN = b"!"


def start_sender(folder: Path, uri: str) -> socket.socket:
    """Our end of a line to a new sender; when one side dies, the other sees the line closed.

    It imports what it needs, seconds, and touches `folder`, its spool, when told to `begin`.

    The sender is nobody's child, in a process group of its own: Ctrl-C is for the driver, and
    `ray job stop` kills all descendants of the driver, while the sender has to tell MLflow. A
    session of its own would do as well, but Linux may share the CPU by session: half for it.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *SENDER, str(folder), "--line", str(theirs.fileno())],
            env=os.environ | {URI_VARIABLE: uri, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,
            check=True,
        )
    return ours


def begin(sender: socket.socket) -> None:
    """Tell it that its spool is there; one that has died already is not missed here."""
    with suppress(ConnectionError):
        sender.send(BEGIN, socket.MSG_NOSIGNAL)


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
