"""What there is: versions, drivers, GPUs, and what a process sees that Ray has given one GPU."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

import torch

from studies.doctor.line import Line

PATIENCE_S = 120
_SMI = ["nvidia-smi", "--format=csv,noheader"]
_SMI_FIELDS = "index,name,driver_version,memory.total,memory.used,compute_mode,mig.mode.current"
# Ray sets the variable in a worker that has imported torch long before.
_AS_A_WORKER = """
import os, sys, torch
os.environ["CUDA_VISIBLE_DEVICES"] = sys.argv[1]
print(torch.cuda.device_count(), torch.cuda.get_device_properties(0).uuid)
"""


def facts() -> dict[str, str]:
    """Versions, what the driver says of the GPUs and what torch sees of them, by name."""
    details = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda of torch": str(torch.version.cuda),
        "cudnn of torch": str(torch.backends.cudnn.version()),
        "triton": _triton(),
        "C compiler": shutil.which("cc") or shutil.which("gcc") or "none: no Triton kernels",
        "driver": driver(),
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "not set"),
        "GPUs": str(torch.cuda.device_count()),
    }
    return details | {f"cuda:{index}": _gpu(index) for index in range(torch.cuda.device_count())}


def driver() -> str:
    """What nvidia-smi says of driver, memory and mode, a GPU after the other; or why nothing."""
    if shutil.which(_SMI[0]) is None:
        return "no nvidia-smi"
    query = [*_SMI, f"--query-gpu={_SMI_FIELDS}"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi does not answer: {error}"
    said = (done.stdout + done.stderr).strip().splitlines()
    return "; ".join(said) or f"nvidia-smi ended with {done.returncode}"


def _triton() -> str:
    try:
        import triton  # not every torch comes with it
    except ImportError:
        return "none"
    return str(triton.__version__)


def _gpu(index: int) -> str:
    seen = torch.cuda.get_device_properties(index)
    free, total = (value / 2**30 for value in torch.cuda.mem_get_info(index))
    return f"{seen.name}, sm_{seen.major}{seen.minor}, {free:.1f} of {total:.1f} GiB free"


def as_a_worker(index: int) -> Line:
    """Whether a worker that Ray gives GPU `index` sees this one and no other."""
    name = f"cuda:{index} as Ray's worker"
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    visible = allowed[index] if index < len(allowed) and allowed[index] else str(index)
    environment = {n: v for n, v in os.environ.items() if n != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", _AS_A_WORKER, visible],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return Line(name, "failed", f"CUDA_VISIBLE_DEVICES={visible}: {last}")
    own = f"1 {torch.cuda.get_device_properties(index).uuid}"
    seen = done.stdout.strip()
    detail = f"CUDA_VISIBLE_DEVICES={visible}: sees {seen}"
    return Line(name, "ok", detail) if seen == own else Line(name, "wrong", f"{detail}, not {own}")
