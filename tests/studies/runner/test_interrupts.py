"""Requests to stop: by signals in the main thread, by a call in any."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from studies.errors import StudyStopped
from studies.runner.interrupts import StopRequest, listening


def in_a_thread(work: object) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(10)  # type: ignore[arg-type]


def test_a_thread_that_is_not_the_main_one_can_run_a_study() -> None:
    """As a notebook's kernel does; the main thread's handlers stay as they are."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def work() -> int:
        with listening() as stop:
            stop.listen()  # again, as after the start of Ray
            stop.check()
            assert {n: signal.getsignal(n) for n in before} == before
            return stop.exit_code

    assert in_a_thread(work) == 1
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_program_can_ask_a_study_in_a_thread_to_stop() -> None:
    ready, asked, requests = threading.Event(), threading.Event(), []

    def work() -> str:
        with listening() as stop:
            requests.append(stop)
            ready.set()
            assert asked.wait(10)
            with pytest.raises(StudyStopped) as stopped:
                stop.check()
            return stopped.value.reason

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(work)
        assert ready.wait(10)
        requests[0].ask()
        asked.set()
        assert result.result(10) == "stopped by its caller"


def test_a_signal_stops_at_the_next_check_and_gives_the_exit_code() -> None:
    with listening() as stop:
        stop.at_once = False
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StudyStopped, match="SIGTERM"):
            stop.check()
        assert stop.exit_code == 143


def test_nothing_asked_is_nothing_stopped() -> None:
    StopRequest().check()


def test_where_the_process_goes_on_others_code_is_not_torn() -> None:
    done = []

    def interrupted(stop: StopRequest) -> None:
        with stop.entire(lambda: done.append("abandoned")):
            os.kill(os.getpid(), signal.SIGINT)
            done.append("whole")
        done.append("beyond")

    with listening() as stop, pytest.raises(StudyStopped, match="Ctrl-C"):
        interrupted(stop)
    assert done == ["whole"]


def test_where_the_process_is_ours_a_signal_ends_it() -> None:
    code = (
        "import os, signal\n"
        "from studies.runner.interrupts import listening\n"
        "with listening(owns_process=True) as stop, stop.entire(lambda: print('abandoned')):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('not reached')\n"
    )
    command = [sys.executable, "-u", "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (143, "abandoned\n")
    assert "nothing was started" in ended.stderr
