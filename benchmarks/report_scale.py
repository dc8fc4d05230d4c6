"""Seconds and memory of a report on a large study, which is written into MLflow in bulk first.

python -m benchmarks.report_scale --trials 10000 --epochs 20
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.analysis import bulk


def main() -> None:
    """Write the study, build its report in a process of its own, print what that took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        study = bulk.BulkStudy(
            name="large", trials=options.trials, epochs=options.epochs, pruned=0.0, confirm_seeds=5
        )
        written = bulk.write(study, Path(scratch))
        out = Path(scratch) / "report"
        started = time.perf_counter()
        subprocess.run(
            [
                *(sys.executable, "-m", "analysis.report", "--study", "large"),
                *("--out", str(out), "--tracking-uri", written.tracking_uri),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        took = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = {
            "wall_s": round(took, 1),
            "cpu_s": round(used.ru_utime + used.ru_stime, 1),
            "peak_mib": used.ru_maxrss // 1024,
            "page_mb": round((out / "index.html").stat().st_size / 1e6, 1),
        }
        print(json.dumps(vars(options) | found))


if __name__ == "__main__":
    main()
