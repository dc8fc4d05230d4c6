"""Memory of a cohort against its number of slots, and what one more slot costs.

    python -m benchmarks.slot_memory --model conv --slots 1 2 4 8

Every number of slots is measured in a process of its own, over an epoch with validation. On a CPU
it is the process's peak resident memory, on a GPU the peak of what torch has allocated there. The
price of a slot is the slope of a straight line through the points.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import measuring
from benchmarks.cohort_speed import Fused
from vae_trainables.cohort import Cohort

MIB = 2**20


def peak(options: argparse.Namespace, slots: int) -> float:
    """MiB at the peak of an epoch, in this process."""
    device = measuring.prepare(options)
    config = measuring.workload(options.model, threads=options.threads)
    data = measuring.made_up_data(options.images, 1_000)
    with tempfile.TemporaryDirectory() as scratch:
        Fused(Cohort(config, data, slots=slots, device=device), Path(scratch)).epoch()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts KiB


def in_its_own_process(options: argparse.Namespace, slots: int) -> float:
    """`peak`, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.slot_memory", "--alone", str(slots)]
    for name in ("model", "device", "images", "threads"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


def main() -> None:
    """Measure and publish."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone is not None:
        print(json.dumps(peak(options, options.alone)))
        return
    found = {slots: in_its_own_process(options, slots) for slots in options.slots}
    slope, base = np.polyfit(list(found), list(found.values()), 1)
    rows: list[list[Any]] = [[slots, mib] for slots, mib in found.items()]
    rows.append(["per slot", float(slope)])
    result = {"peak_mib": found, "per_slot_mib": float(slope), "base_mib": float(base)}
    measuring.publish(options, result, ["slots", "MiB"], rows)


if __name__ == "__main__":
    main()
