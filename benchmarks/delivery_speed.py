"""Runs per second that the sender delivers to MLflow, and what old events cost it the second time.

    python -m benchmarks.delivery_speed --mode sqlite --runs 300 --rounds 3
    python -m benchmarks.delivery_speed --mode server --runs 300 --rounds 3
    python -m benchmarks.delivery_speed --mode sqlite --again --runs 10000

Each round writes a study's spool (trials of --epochs epochs with the settings, metrics, tags, data
sets and, with --files, the weights of real ones), starts a new tracker, and times the sender from
its first event to its last: wall time, and CPU of this process and of the server's. With --again,
what was delivered is delivered once more to a tracker that holds it all; the rate of each tenth of
the events is printed, so that one sees whether a long history makes it slower.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from studies.tracker import names, pages
from studies.tracker.delivery import Delivery
from studies.tracker.sender import Sender, set_up_mlflow
from studies.tracker.spool import Cursor, Spool
from tests.crash.servers import MlflowServer
from vae_trainables.config import TrialConfig

STUDY = "delivered"
METRICS = (
    *(f"train/{name}" for name in ("loss", "recon", "kl", "grad_norm", "beta", "lr")),
    *(f"val/{name}" for name in ("mse", "psnr", "ssim", "elbo", "recon", "kl", "active_units")),
    *(f"time/{name}" for name in ("train", "eval", "epoch")),
)
DATA = [
    {
        "context": context,
        "name": f"images {context}",
        "digest": f"{size:016x}",
        "profile": {"images": size},
        "source": "images",
    }
    for context, size in (("training", 50_000), ("validation", 10_000))
]
WEIGHTS_BYTES = 100_000
WARM_UP_RUNS = 20


def warm_up(uri: str, folder: Path) -> None:
    """Every worker of a server has answered before time starts: it imports as it begins."""
    write_spool(folder, WARM_UP_RUNS, 1, files=False)
    deliver(folder, uri, [], study="warm-up")


def write_spool(folder: Path, runs: int, epochs: int, *, files: bool) -> None:
    """A study of `runs` finished trials, two of them always under way together."""
    spool = Spool(folder / "spool")
    tags = {names.ROLE: names.ROLE_STUDY, names.NOTE: "What is delivered?"}
    spool.append(event="run", key="", name=STUDY, tags=tags, params={}, time=1)
    for pair in range(0, runs, 2):
        keys = [f"{number:05d}" for number in range(pair, min(pair + 2, runs))]
        for number, key in enumerate(keys, pair):
            config = TrialConfig(seed=number).model_dump(mode="json")
            tags = {names.ROLE: names.ROLE_TRIAL, names.STATUS: "running", names.REASON: ""}
            tags |= {names.PHASE: "search", names.SEED: str(number), names.CONFIG: f"c{number}"}
            tags |= {names.REFERENCE: "false", names.ATTEMPT: "1", names.LIKE: ""}
            name = pages.run_name(key)
            spool.append(event="run", key=key, name=name, tags=tags, params=config, time=number + 1)
        for epoch in range(1, epochs + 1):
            for key in keys:
                values = {name: 1 / (epoch + len(name)) for name in METRICS}
                spool.append(event="metrics", key=key, epoch=epoch, values=values, time=epoch)
        for key in keys:
            if files:
                weights = folder / "trials" / key / "weights.safetensors"
                weights.parent.mkdir(parents=True)
                weights.write_bytes(os.urandom(WEIGHTS_BYTES))
                path = str(weights.relative_to(folder))
                spool.append(event="artifact", key=key, path=path, folder="checkpoint")
            spool.append(event="status", key=key, status="finished", reason="", time=10**6)
    spool.append(event="status", key="", status="finished", reason="", time=10**6)
    spool.append(event="close")
    spool.close()


@contextmanager
def tracker(mode: str, folder: Path, workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The address of a new tracker, and the server's processes."""
    if mode == "sqlite":
        yield f"sqlite:///{folder}/mlflow.db", []
        return
    server = MlflowServer(folder / "server", workers=workers)
    try:
        assert server.process is not None
        first = psutil.Process(server.process.process.pid)
        yield server.uri, [first, *first.children(recursive=True)]
    finally:
        server.kill()


def cpu(processes: list[psutil.Process]) -> float:
    """CPU seconds so far."""
    times = [process.cpu_times() for process in processes]
    return sum(t.user + t.system for t in times)


def deliver(
    folder: Path, uri: str, served_by: list[psutil.Process], study: str = STUDY
) -> dict[str, float]:
    """Deliver the whole spool; what it took."""
    location = None if uri.startswith("http") else (folder / "artifacts").as_uri()
    header = {"study": study, "artifact_location": location, "data": DATA}
    (folder / "spool/study.json").write_text(json.dumps(header))
    Delivery(uri, study, location)  # its tables and the experiment are there when time starts
    own, wall, before = time.process_time(), time.perf_counter(), cpu(served_by)
    if not Sender(folder / "spool", uri, None).run():
        raise SystemExit("not delivered")
    return {
        "wall_s": time.perf_counter() - wall,
        "sender_cpu_s": time.process_time() - own,
        "server_cpu_s": cpu(served_by) - before,
    }


def rates_again(folder: Path, uri: str, runs: int) -> list[float]:
    """Runs per second of each tenth of the events, delivered again to a tracker that has all."""
    Cursor(folder / "spool").advance(0)
    events = (folder / "spool/events.jsonl").stat().st_size
    sender, marks = Sender(folder / "spool", uri, None), [time.perf_counter()]
    for tenth in range(1, 11):
        while sender.cursor.offset < events * tenth / 10:
            if not sender._deliver_some()[0]:
                raise SystemExit("not delivered")
        marks.append(time.perf_counter())
    return [runs / 10 / (end - begin) for begin, end in pairwise(marks)]


def main() -> None:
    """Measure and print one line of JSON for each round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["sqlite", "server"], default="sqlite")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4, help="of the server; MLflow's default")
    parser.add_argument("--files", action="store_true", help="each trial has weights to upload")
    parser.add_argument("--again", action="store_true", help="deliver all of it a second time")
    options = parser.parse_args()
    set_up_mlflow()
    print(json.dumps(vars(options) | {"machine": platform.machine(), "cores": os.cpu_count()}))
    rounds: list[dict[str, Any]] = []
    for _ in range(1 if options.again else options.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write_spool(folder, options.runs, options.epochs, files=options.files)
            with tracker(options.mode, folder, options.workers) as (uri, served_by):
                if options.mode == "server":
                    warm_up(uri, folder / "warm-up")
                took = deliver(folder, uri, served_by)
                took["runs_per_s"] = options.runs / took["wall_s"]
                rounds.append(took)
                print(json.dumps({name: round(value, 2) for name, value in took.items()}))
                if options.again:
                    rates = rates_again(folder, uri, options.runs)
                    print(json.dumps({"again_runs_per_s": [round(rate, 1) for rate in rates]}))
    for name in rounds[0]:
        print("median", name, round(statistics.median(row[name] for row in rounds), 2))


if __name__ == "__main__":
    main()
