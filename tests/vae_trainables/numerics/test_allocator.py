"""What a step frees must serve the next: counted in the kernel's own page faults."""

from __future__ import annotations

import os
import subprocess
import sys

STEPS = """
import resource, sys, torch
from vae_trainables.numerics.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def step():
    tensors = [torch.ones(1 << 18) for _ in range(20)]  # 1 MiB each
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""By itself glibc mostly does, but not in every process: here it is told to."""


def faults(how: str) -> int:
    command, env = [sys.executable, "-c", STEPS, how], os.environ | GIVES_BACK
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_steps_of_the_same_size_cause_no_page_faults() -> None:
    pages = 10 * 20 * 256
    assert faults("leave") > 0.5 * pages
    assert faults("keep") < 0.01 * pages
