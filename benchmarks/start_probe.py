"""What a study's start pays for trying its tracker: with the trial and without, in turn.

    python -m benchmarks.start_probe --repeats 5

The sender tries the tracker (a new sqlite file) while Ray starts and torch is imported. Each round
starts two studies up to their first trial, each in a process of its own, and prints the seconds
until then and how many of them were spent on waiting for the sender's answer alone; at the end the
medians, and the CPU seconds of the trial itself behind the imports that a sender needs anyway.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from studies import small_denoisers
from studies.runner import driver, preflight
from studies.runner.interrupts import listening
from studies.runner.settings import Settings
from studies.tracker import line


def start(*, probing: bool) -> dict[str, float]:
    """Seconds to the end of a dry run's checks, and those waited for the answer."""
    ask, start_sender, waited = preflight.tracker_takes, line.start_sender, 0.0

    def timed(*arguments: Any, **options: Any) -> None:
        nonlocal waited
        began = time.perf_counter()
        if probing:
            ask(*arguments, **options)
        waited = time.perf_counter() - began

    def silent(spool: Path, uri: str, *_: Any) -> Any:
        return start_sender(spool, uri)

    sender = start_sender if probing else silent
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as storage,
        listening() as stop,
        patch.object(preflight, "tracker_takes", timed),
        patch.object(driver, "start_sender", sender),
        patch.object(driver, "_forecast", lambda *_: ""),  # which a real start waits for by budget
    ):
        settings = Settings(trials=2, epochs=1, storage=Path(storage), dry_run=True)
        driver.run_study(small_denoisers.STUDY, settings, stop)
        return {"start_s": time.perf_counter() - began, "waited_s": waited}


def probe_cpu() -> float:
    """CPU seconds of one look at a new database."""
    from studies.tracker.probe import Probe

    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        Probe(f"sqlite:///{folder}/mlflow.db", "s", f"file://{folder}/artifacts").run()
        return time.process_time() - began


def measured(*flags: str) -> Any:
    """The last line of a process of its own, as JSON."""
    command = [sys.executable, "-m", "benchmarks.start_probe", *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure in turn and print; with `--once`, one start in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--once", choices=["with", "without", "cpu"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(
            json.dumps(probe_cpu() if given.once == "cpu" else start(probing=given.once == "with"))
        )
        return
    rounds: dict[str, list[dict[str, float]]] = {"with": [], "without": []}
    for number in range(given.repeats):
        for name in sorted(rounds, reverse=bool(number % 2)):
            rounds[name].append(measured("--once", name))
            print(name, json.dumps(rounds[name][-1]), flush=True)
    for name, rows in rounds.items():
        medians = {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}
        print("median", name, json.dumps(medians))
    print("CPU seconds of the trial:", round(measured("--once", "cpu"), 2))


if __name__ == "__main__":
    main()
