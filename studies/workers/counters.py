"""The machine's own counters: energy of the CPUs (RAPL), energy and use of a GPU (NVML).

Either is there or not, and where one is not, nothing is said of it: RAPL is readable by root alone
since Linux 5.10, NVML comes with NVIDIA's driver. Read without a package: files, and one library.
"""

from __future__ import annotations

import ctypes
import threading
import time
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
STAT = Path("/proc/stat")
SAMPLE_S = 1.0  # between two looks at a GPU's use
_BUSY = (0, 1, 2, 5, 6, 7)  # of /proc/stat: user, nice, system, irq, softirq, steal


class CpuEnergy:
    """Joules of all CPU packages, of which a process has the part that it had of the CPUs' time."""

    def __init__(self, zones: list[Path], stat: Path = STAT) -> None:
        self.zones, self.stat = zones, stat
        self._ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]
        self._last = [self._read(zone) for zone in zones]
        self._joules = 0.0
        self._busy = self._busy_s()

    @classmethod
    def of_this_machine(cls, powercap: Path = POWERCAP) -> CpuEnergy | None:
        """None where the machine does not tell."""
        zones = sorted(powercap.glob("*-rapl:*"))
        packages = [zone for zone in zones if zone.name.count(":") == 1]
        try:
            return cls(packages) if packages else None
        except (OSError, ValueError):
            return None

    def joules(self) -> float:
        """Of all packages since the first look; remembers how busy the CPUs were until now."""
        for number, zone in enumerate(self.zones):
            now = self._read(zone)
            passed = now - self._last[number]
            self._joules += (passed if passed >= 0 else passed + self._ranges[number]) / 1e6
            self._last[number] = now
        self._busy = self._busy_s()
        return self._joules

    def since(self, before: float | None, cpu_s: float) -> float | None:
        """Joules since `joules()` was `before`, of a process that used `cpu_s` meanwhile."""
        if before is None:
            return None
        busy_before = self._busy
        used = self.joules() - before
        busy = self._busy - busy_before
        return used * min(1.0, cpu_s / busy) if busy > 0 else 0.0

    def _busy_s(self) -> float:
        """Seconds that all CPUs together were at work, of anybody, since the machine's start."""
        fields = self.stat.read_text().split("\n", 1)[0].split()[1:]
        return sum(int(fields[i]) for i in _BUSY if i < len(fields)) / 100  # USER_HZ is 100

    @staticmethod
    def _read(zone: Path) -> int:
        return int((zone / "energy_uj").read_text())


class NvmlError(OSError):
    """NVML did not answer."""


class Nvml:
    """NVIDIA's library, as far as it is asked here."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self._call("nvmlInit_v2")

    @classmethod
    def load(cls) -> Nvml | None:
        """None where there is no driver."""
        try:
            return cls(ctypes.CDLL("libnvidia-ml.so.1"))
        except OSError:
            return None

    def device(self, uuid: str) -> ctypes.c_void_p:
        """The handle of the GPU with this UUID, such as GPU-8a0f…"""
        handle = ctypes.c_void_p()
        self._call("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(handle))
        return handle

    def millijoules(self, device: ctypes.c_void_p) -> int:
        """Energy since the driver was loaded (Volta and newer)."""
        value = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", device, ctypes.byref(value))
        return value.value

    def percent(self, device: ctypes.c_void_p) -> int:
        """Of the driver's last sampling period: how long a kernel was at work."""
        rates = (ctypes.c_uint * 2)()
        self._call("nvmlDeviceGetUtilizationRates", device, ctypes.byref(rates))
        return int(rates[0])

    def processes(self, device: ctypes.c_void_p) -> int:
        """How many processes compute on it."""
        count = ctypes.c_uint(0)
        self.library.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), None)
        return count.value

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self.library, name)(*arguments)
        if code:
            raise NvmlError(f"{name}: NVML error {code}")


class Gpu:
    """One GPU; workers that have parts of it share its energy equally."""

    def __init__(self, nvml: Nvml, device: ctypes.c_void_p) -> None:
        self.nvml, self.device = nvml, device
        self._samples: list[int] = []
        threading.Thread(target=self._sample, name="gpu-use", daemon=True).start()

    @classmethod
    def of(cls, device: str) -> Gpu | None:
        """The GPU of a torch device; None where nothing tells of it."""
        import torch

        nvml = Nvml.load()
        if nvml is None:
            return None
        uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
        try:
            gpu = cls(nvml, nvml.device(f"GPU-{uuid}"))
            nvml.percent(gpu.device)
        except (NvmlError, AttributeError):  # of an older driver
            return None
        return gpu

    def joules(self) -> float | None:
        """Since the driver was loaded; None where the GPU does not tell."""
        try:
            return self.nvml.millijoules(self.device) / 1000
        except (NvmlError, AttributeError):
            return None

    def since(self, before: float | None) -> float | None:
        """Joules since `joules()` was `before`: a process's part."""
        now = self.joules()
        if before is None or now is None:
            return None
        return (now - before) / max(1, self.nvml.processes(self.device))

    def percent(self) -> float | None:
        """How much of the time a kernel was at work since the last call, sampled; None: unknown."""
        samples, self._samples = self._samples, []
        try:
            samples = samples or [self.nvml.percent(self.device)]
        except NvmlError:
            return None
        return sum(samples) / len(samples)

    def _sample(self) -> None:
        try:
            while True:
                time.sleep(SAMPLE_S)
                self._samples.append(self.nvml.percent(self.device))
        except NvmlError:
            return
