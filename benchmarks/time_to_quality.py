"""Seconds until a search holds a good configuration: this project against the usual way.

    python -m benchmarks.time_to_quality --rounds 5

The same space, network, images and machine. Both search with TPE and end trials early by ASHA; the
usual way is Ray Tune with OptunaSearch, ASHAScheduler, MLflowLoggerCallback and a DataLoader
(`usual_way`). First the target: the validation MSE that the best tenth of random configurations
reach, trained to their end. Then in turn, each round with another seed and in another order: from
the command to the first epoch of any trial whose MSE is as good, by the time that MLflow has of it.
A search that never gets there counts with all the time it had.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.real_images import write_for_torchvision

EVERY_S = 2.0  # MLflow's database is looked at
TRIALS = 400  # more than it takes
SHARE = 0.1


def study(options: argparse.Namespace, folder: Path, *flags: str) -> list[str]:
    """This project's."""
    return [
        sys.executable, "-m", "benchmarks.short_study", "--study", options.kind,
        "--epochs", str(options.epochs), "--train-size", str(options.images),
        "--batch-size", "128", "--storage", str(folder), *flags,
    ]  # fmt: skip


def usual(options: argparse.Namespace, folder: Path, data: Path, seed: int) -> list[str]:
    """The usual way's."""
    return [
        sys.executable, "-m", "benchmarks.usual_way", "--kind", options.kind, "--asha",
        "--trials", str(TRIALS), "--epochs", str(options.epochs), "--seed", str(seed),
        "--images", str(options.images), "--data", str(data), "--out", str(folder),
    ]  # fmt: skip


def rows(database: Path, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """Of a database that another process writes; none where it has no such table yet."""
    if not database.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as opened:
            return opened.execute(query, arguments).fetchall()
    except sqlite3.OperationalError:
        return []


def target(options: argparse.Namespace, folder: Path) -> float:
    """What the best tenth of random configurations reach at least, trained to their end."""
    flags = ("--sampler", "random", "--scheduler", "none", "--trials", str(options.drawn))
    subprocess.run(study(options, folder, *flags), check=True, stdout=subprocess.DEVNULL)
    query = "SELECT value FROM metrics WHERE key = 'val/mse' AND step = ? ORDER BY value"
    values = [value for (value,) in rows(folder / "mlflow.db", query, options.epochs)]
    assert len(values) == options.drawn, (len(values), options.drawn)
    return float(values[round(SHARE * len(values)) - 1])


def seconds(command: list[str], database: Path, key: str, goal: float, limit_s: float) -> float:
    """From the command to the first value that is as good as `goal`; the search is then ended."""
    query = "SELECT timestamp FROM metrics WHERE key = ? AND value <= ? ORDER BY timestamp LIMIT 1"
    began = time.time()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while time.time() - began < limit_s and process.poll() is None:
            time.sleep(EVERY_S)
            if rows(database, query, key, goal):
                break
        _end(process)
    reached = [time_ms / 1000 - began for (time_ms,) in rows(database, query, key, goal)]
    return reached[0] if reached else time.time() - began


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it has started."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    time.sleep(3)  # Ray's processes notice


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", default="mlp_vae")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument(
        "--drawn", type=int, default=60, help="random configurations, for the target"
    )
    parser.add_argument("--target", type=float, help="known from an earlier run")
    parser.add_argument("--limit", type=float, default=900, help="seconds of one search")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_for_torchvision(root / "data")
        goal = options.target or target(options, root / "drawn")
        print(f"target: val/mse {goal:.6f}", flush=True)
        for i in range(options.rounds):
            own, theirs = root / f"own-{i}", root / f"usual-{i}"
            flags = ("--trials", str(TRIALS), "--seed", str(i))
            ways = {
                "ours": (study(options, own, *flags), own / "mlflow.db", "val/mse"),
                "usual": (usual(options, theirs, root / "data", i), theirs / "mlflow.db", "mse"),
            }
            order = [*ways] if i % 2 else [*ways][::-1]
            taken = {name: seconds(*ways[name], goal, options.limit) for name in order}
            ratio = taken["usual"] / taken["ours"]
            rounds.append(taken | {"ratio": ratio})
            print(
                f"ours {taken['ours']:6.1f} s   usual {taken['usual']:6.1f} s   {ratio:.2f} x",
                flush=True,
            )
    result = {
        "what": vars(options) | {"target": goal},
        "machine": platform.processor() or platform.machine(),
        "rounds": rounds,
        "median_ratio": statistics.median(r["ratio"] for r in rounds),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
