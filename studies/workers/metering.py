"""What an epoch cost its worker, measured by the worker's own process around the step that trains.

What adds up (seconds, CPU time, energy) and memory is divided among the trials that the worker
trained in the step; shares of time are the worker's. Nothing here touches a tensor or a trial: with
a meter or without, every figure of the training is the same.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studies.tracker import names
from studies.workers.counters import CpuEnergy, Gpu
from vae_trainables.training.session import Record

MIB = 2**20
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # see proc(5), clear_refs


@dataclass
class _Start:
    """The counters when a step began."""

    clock: float
    cpu: float
    cpu_joules: float | None
    gpu_joules: float | None


class Meter:
    """Of one worker process; `begin` before each step, `end` after it.

    gpu, energy: what the machine has; by default what is found here.
    """

    def __init__(
        self,
        device: str,
        *,
        gpu: Gpu | None = None,
        energy: CpuEnergy | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.gpu = gpu or (Gpu.of(device) if device.startswith("cuda") else None)
        self.energy = energy or CpuEnergy.of_this_machine()
        self.clock = clock
        self._ended: float | None = None
        self._waited = 0.0  # since the last step in which a trial was trained
        self._start: _Start | None = None

    def begin(self) -> None:
        """A step begins; what lies between it and the one before was waiting."""
        now = self.clock()
        if self._ended is not None:
            self._waited += now - self._ended
        forget_peak_memory()
        joules = self.gpu.joules() if self.gpu else None
        cpu = self.energy.joules() if self.energy else None
        self._start = _Start(now, time.process_time(), cpu, joules)

    def end(self, records: Sequence[Record], *, idle: bool = False) -> None:
        """The step has ended: each record of a fresh epoch gets what was its part of the cost.

        idle: there was nothing to train.
        """
        start, self._start = self._start, None
        assert start is not None, "a step ends that did not begin"
        self._ended = self.clock()
        took = self._ended - start.clock
        fresh = [record for record in records if record.spent]
        if idle:
            self._waited += took
        if not fresh:
            return
        total = sum(sum(record.spent.values()) for record in fresh)
        whole = self._whole(start, took)
        memory = peak_memory_bytes() / MIB / len(fresh)
        levels = {names.GPU_PERCENT: self.gpu.percent()} if self.gpu else {}
        for record in fresh:
            part = sum(record.spent.values()) / total if total else 1 / len(fresh)
            record.metrics |= {name: value * part for name, value in whole.items()}
            record.metrics |= {name: value for name, value in levels.items() if value is not None}
            record.metrics |= {
                names.TRAIN_S: record.spent["train_s"],
                names.EVAL_S: record.spent["eval_s"],
                names.MEMORY_MIB: memory,
            }
        self._waited = 0.0

    def _whole(self, start: _Start, took: float) -> dict[str, float]:
        """The worker's cost of the step, as far as it adds up."""
        cpu = time.process_time() - start.cpu
        whole = {names.WORKER_S: took, names.WAITED_S: self._waited, names.CPU_S: cpu}
        joules = [
            self.energy.since(start.cpu_joules, cpu) if self.energy else None,
            self.gpu.since(start.gpu_joules) if self.gpu else None,
        ]
        measured = [value for value in joules if value is not None]
        return whole | ({names.ENERGY_J: sum(measured)} if measured else {})


def forget_peak_memory() -> None:
    """Count the peak of this process's memory anew, where the system can (Linux)."""
    try:
        _CLEAR.write_text(_FORGET_PEAK)
    except OSError:
        return


def peak_memory_bytes() -> int:
    """The most memory that this process had resident; images that workers share are included."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024
