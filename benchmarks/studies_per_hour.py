"""A study of short trials end to end, start-up included: this project against the usual way.

    python -m benchmarks.studies_per_hour --kind mlp_vae --trials 48 --repeats 3

Runs ours, in each precision asked for, and the usual way in turn, each round in another order;
prints the seconds and JSON with the ratios of each round and their medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.real_images import write_for_torchvision


def seconds(command: list[str]) -> float:
    """Wall time of a command that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def ours(options: argparse.Namespace, folder: Path, precision: str) -> list[str]:
    """The same study with this project."""
    return [
        sys.executable, "-m", "benchmarks.short_study", "--scheduler", "none",
        "--trials", str(options.trials), "--epochs", str(options.epochs),
        "--train-size", str(options.images), "--batch-size", "128",
        "--study", options.kind, "--storage", str(folder), "--precision", precision,
    ]  # fmt: skip


def usual(options: argparse.Namespace, folder: Path, data: Path) -> list[str]:
    """The same study the usual way."""
    return [
        sys.executable, "-m", "benchmarks.usual_way", "--kind", options.kind,
        "--trials", str(options.trials), "--epochs", str(options.epochs),
        "--images", str(options.images), "--data", str(data), "--out", str(folder),
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", default="mlp_vae")
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32"], help="of ours"
    )
    options = parser.parse_args()
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        write_for_torchvision(data)
        for i in range(options.repeats):
            commands = {
                name: ours(options, Path(scratch) / f"{name}-{i}", name)
                for name in options.precisions
            } | {"usual": usual(options, Path(scratch) / f"usual-{i}", data)}
            first = i % len(commands)
            order = [*commands][first:] + [*commands][:first]
            taken = {name: seconds(commands[name]) for name in order}
            theirs = taken.pop("usual")
            ratios = {name: theirs / own for name, own in taken.items()}
            rounds.append({"ours_s": taken, "usual_s": theirs, "ratios": ratios})
            told = [f"ours {n} {taken[n]:6.1f} s ({ratios[n]:.2f} x)" for n in options.precisions]
            print("   ".join([*told, f"usual {theirs:6.1f} s"]), flush=True)
    result = {
        "what": vars(options),
        "machine": platform.processor() or platform.machine(),
        "rounds": rounds,
        "median_ratios": {
            name: statistics.median(r["ratios"][name] for r in rounds)
            for name in options.precisions
        },
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
