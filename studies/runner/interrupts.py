"""Ctrl-C and SIGTERM become a request to stop between two events, never in the middle of one."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from studies.errors import StudyStopped

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
REASONS = {signal.SIGINT: "stopped by the user (Ctrl-C)", signal.SIGTERM: "stopped by SIGTERM"}


class StopRequest:
    """Whether somebody asked the study to stop: by a signal, or a program by `ask`.

    owns_process: whether a signal may end the process; in a notebook that is the user's kernel.
    """

    def __init__(self, *, owns_process: bool = False) -> None:
        self.owns_process = owns_process
        self.signal: signal.Signals | None = None
        self.reason = ""
        self.at_once = True  # outside the training loop there is nothing to leave half done
        self._abandon: Callable[[], None] | None = None
        self._waits = False
        self._pid = os.getpid()

    @property
    def exit_code(self) -> int:
        """The process's exit code if the study stops now."""
        return EXIT_CODES[self.signal] if self.signal else 1

    def check(self) -> None:
        """Raise StudyStopped if asked to."""
        if self.signal or self.reason:
            raise StudyStopped(REASONS[self.signal] if self.signal else self.reason)

    def ask(self, reason: str = "stopped by its caller") -> None:
        """Stop at the next check, from any thread: for a program that runs a study in one."""
        self.reason = reason

    def listen(self) -> None:
        """Take the signals, also from Ray: its own handler of SIGTERM aborts the process.

        Python gives them to the main thread alone: in another, a study hears of `ask` only.
        """
        if _in_main_thread():
            for number in EXIT_CODES:
                signal.signal(number, self._handle)

    @contextmanager
    def entire(self, abandon: Callable[[], None] | None = None) -> Iterator[None]:
        """For others' code that might catch an exception, or that one would leave half done.

        Where the process is ours and there is an `abandon`, a signal calls that and ends all.
        Where the process goes on, a signal waits for the end of the block: StudyStopped comes
        there, and another try of an import, or of Ray's start, finds nothing half done.
        """
        self._waits = not self.owns_process
        self._abandon = abandon if self.owns_process else None
        try:
            yield
        finally:
            self._waits, self._abandon = False, None
        self.check()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return  # a child that has not become another program yet
        signal.alarm(0)  # Ray's handler, if it still stood, has set the time of our death
        again, self.signal = self.signal is not None, signal.Signals(number)
        if self._abandon is not None:
            self._abandon()
            print(f"{REASONS[self.signal]}: nothing was started", file=sys.stderr, flush=True)
            os._exit(self.exit_code)
        if self.at_once and not again and not self._waits:
            self.check()


@contextmanager
def listening(*, owns_process: bool = False) -> Iterator[StopRequest]:
    """Handle the signals until the end of the block; `owns_process` as in StopRequest."""
    request = StopRequest(owns_process=owns_process)
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    request.listen()
    try:
        yield request
    finally:
        if _in_main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
