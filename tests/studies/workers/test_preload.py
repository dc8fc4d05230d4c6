"""What workers import before they know their GPU leaves CUDA alone."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import torch

touched = []
for name in ("is_available", "device_count", "init", "_lazy_init", "current_device"):
    def noted(*given, name=name, function=getattr(torch.cuda, name), **how):
        touched.append(name)
        return function(*given, **how)
    setattr(torch.cuda, name, noted)

import studies.workers.preload, studies.workers.cohorts, ray.tune
print(touched, torch.cuda.is_initialized(), torch.cuda._cached_device_count)
"""


def test_nothing_asks_for_gpus_before_ray_has_said_which() -> None:
    """Torch reads CUDA_VISIBLE_DEVICES at its first look, and remembers what it saw."""
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "False", "None"], done.stdout
