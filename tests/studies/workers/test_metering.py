"""What an epoch cost: divided among those who shared it, and nothing of it touches a figure."""

from __future__ import annotations

import ctypes
import json
import time
from pathlib import Path

import pytest
import torch

from studies.tracker import names
from studies.workers.counters import CpuEnergy, Gpu, Nvml
from studies.workers.metering import MIB, Meter, forget_peak_memory, peak_memory_bytes
from studies.workers.trainable import TrialTrainable, pack
from studies.workers.workbench import Workbench
from tests.vae_trainables.cohort.support import config, small_data, varied
from vae_trainables.cohort import Assignment
from vae_trainables.training.session import Record, Session


class Clock:
    """A time of the test's own."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fresh(train_s: float, eval_s: float) -> Record:
    return Record(1, "running", metrics={"a": 1.0}, spent={"train_s": train_s, "eval_s": eval_s})


def test_a_step_is_divided_as_its_trials_had_it() -> None:
    clock = Clock()
    meter = Meter("cpu", clock=clock)
    meter.begin()
    clock.now += 8
    records = [fresh(3, 1), fresh(1, 1)]
    meter.end(records)
    first, second = (record.metrics for record in records)
    assert first["a"] == 1.0
    assert first[names.WORKER_S] == pytest.approx(8 * 4 / 6)
    assert second[names.WORKER_S] == pytest.approx(8 * 2 / 6)
    assert (first[names.TRAIN_S], first[names.EVAL_S]) == (3, 1)
    assert first[names.MEMORY_MIB] == second[names.MEMORY_MIB]
    assert names.ENERGY_J not in first, "nobody tells of energy here"
    assert names.GPU_PERCENT not in first


def test_what_lies_between_steps_is_waiting_and_so_is_a_step_without_trials() -> None:
    clock = Clock()
    meter = Meter("cpu", clock=clock)
    meter.begin()
    clock.now += 5
    meter.end([fresh(1, 1)])
    clock.now += 2
    meter.begin()
    clock.now += 1
    meter.end([], idle=True)
    clock.now += 4
    meter.begin()
    clock.now += 6
    record = fresh(1, 1)
    meter.end([record])
    assert record.metrics[names.WAITED_S] == pytest.approx(2 + 1 + 4)
    assert record.metrics[names.WORKER_S] == pytest.approx(6)


def test_an_epoch_that_a_checkpoint_repeats_and_a_failure_cost_nothing() -> None:
    meter = Meter("cpu")
    meter.begin()
    records = [Record(1, "running", metrics={"a": 1.0}), Record(1, "failed", "why")]
    meter.end(records)
    assert [record.metrics for record in records] == [{"a": 1.0}, {}]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_the_peak_of_memory_is_of_the_step_and_not_of_the_process() -> None:
    ballast = torch.ones(2**24)  # 64 MiB
    high = peak_memory_bytes()
    del ballast
    forget_peak_memory()
    low = peak_memory_bytes()
    assert high - low > 48 * MIB
    meter, record = Meter("cpu"), fresh(1, 1)
    meter.begin()
    ballast = torch.ones(2**24)
    del ballast
    meter.end([record])
    assert record.metrics[names.MEMORY_MIB] * MIB - low > 48 * MIB


def test_cpu_time_is_the_workers_own() -> None:
    meter, record = Meter("cpu"), fresh(1, 1)
    meter.begin()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    meter.end([record])
    assert 0.05 <= record.metrics[names.CPU_S] <= record.metrics[names.WORKER_S] * 64


def rapl(folder: Path, *microjoules: int) -> Path:
    """The kernel's files for packages of so many microjoules, with a part of each package."""
    for number, energy in enumerate(microjoules):
        for name in (f"intel-rapl:{number}", f"intel-rapl:{number}:0"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "energy_uj").write_text(str(energy))
            (folder / name / "max_energy_range_uj").write_text("1000000000")
    return folder


def stat(path: Path, busy_jiffies: int) -> Path:
    path.write_text(f"cpu  {busy_jiffies} 0 0 999 0 0 0 0 0 0\ncpu0 1 2 3\n")
    return path


def test_the_energy_of_the_cpus_is_divided_by_their_time(tmp_path: Path) -> None:
    zones = rapl(tmp_path / "powercap", 0, 999_000_000)
    busy = stat(tmp_path / "stat", 1000)
    packages = [zones / "intel-rapl:0", zones / "intel-rapl:1"]
    energy = CpuEnergy(packages, busy)
    before = energy.joules()
    rapl(tmp_path / "powercap", 30_000_000, 9_000_000)  # the second one's counter began anew
    stat(busy, 1000 + 800)  # 8 s of CPU, of which 2 were ours
    assert energy.since(before, 2.0) == pytest.approx((30 + 10) * 2 / 8)


def test_a_machine_that_does_not_tell_of_energy_is_left_out(tmp_path: Path) -> None:
    assert CpuEnergy.of_this_machine(tmp_path) is None
    zones = rapl(tmp_path, 5)
    (zones / "intel-rapl:0/max_energy_range_uj").write_text("denied")
    assert CpuEnergy.of_this_machine(zones) is None


class FakeNvml(ctypes.Structure):
    """The functions that are asked, with NVML's own signatures."""

    millijoules, percent, processes, missing = 0, 40, 2, ""

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: object) -> int:  # noqa: N802
        return 0 if uuid == b"GPU-7" else 6

    def nvmlDeviceGetTotalEnergyConsumption(self, device: object, value: object) -> int:  # noqa: N802
        value._obj.value = self.millijoules  # type: ignore[attr-defined]
        return 3 if self.missing == "energy" else 0

    def nvmlDeviceGetUtilizationRates(self, device: object, rates: object) -> int:  # noqa: N802
        rates._obj[0] = self.percent  # type: ignore[attr-defined]
        return 0

    def nvmlDeviceGetComputeRunningProcesses_v3(  # noqa: N802
        self, device: object, count: object, infos: object
    ) -> int:
        count._obj.value = self.processes  # type: ignore[attr-defined]
        return 7


def test_a_gpu_tells_of_its_use_and_workers_share_its_energy() -> None:
    library = FakeNvml()
    nvml = Nvml(library)  # type: ignore[arg-type]
    gpu = Gpu(nvml, nvml.device("GPU-7"))
    clock = Clock()
    meter = Meter("cpu", gpu=gpu, clock=clock)
    meter.begin()
    library.millijoules = 6000
    clock.now += 1
    records = [fresh(1, 0), fresh(2, 0)]
    meter.end(records)
    assert [r.metrics[names.ENERGY_J] for r in records] == [pytest.approx(1), pytest.approx(2)]
    assert [r.metrics[names.GPU_PERCENT] for r in records] == [40, 40]
    with pytest.raises(OSError, match="NVML error 6"):
        nvml.device("GPU-8")


def test_a_gpu_that_does_not_tell_of_energy_tells_of_its_use() -> None:
    library = FakeNvml()
    library.missing = "energy"
    nvml = Nvml(library)  # type: ignore[arg-type]
    meter, record = Meter("cpu", gpu=Gpu(nvml, nvml.device("GPU-7"))), fresh(1, 1)
    meter.begin()
    meter.end([record])
    assert names.ENERGY_J not in record.metrics
    assert record.metrics[names.GPU_PERCENT] == 40


def test_a_worker_that_is_measured_trains_to_the_same_bits(tmp_path: Path) -> None:
    chosen = config()
    worker = TrialTrainable.__new__(TrialTrainable)
    asked = {"config": chosen.model_dump_json(), "folder": str(tmp_path / "a"), "open_test": False}
    worker.setup(asked, pack(small_data()), "cpu", None)
    session = Session(chosen, small_data(), tmp_path / "b", open_test=False)
    for _ in range(chosen.budget.epochs):
        measured = Record.from_json(str(worker.step()["record"])).metrics
        plain = session.next_record().metrics
        assert names.WORKER_S in measured
        for name in plain:
            assert name.startswith("time/") or measured[name] == plain[name], name
        assert {name for name in measured if name not in plain} >= names.ADDED_UP - {names.ENERGY_J}
    (newest,) = (path for path in sorted((tmp_path / "a").glob("epoch-*"))[-1:])
    assert b"system/" not in newest.read_bytes(), "checkpoints know nothing of machines"


def test_a_cohorts_trials_share_what_they_did_together(tmp_path: Path) -> None:
    bench = Workbench(small_data(), device="cpu", slots=2)
    for number, chosen in enumerate(varied(count=2)):
        bench.take(str(number), Assignment(chosen, tmp_path / str(number)))
    meter = Meter("cpu")
    meter.begin()
    records = [record for _, record in bench.run_epoch()[0]]
    meter.end(records)
    assert len(records) == 2
    first = records[0].metrics
    assert first[names.TRAIN_S] == pytest.approx(first["time/epoch_s"] / 2)
    total = sum(r.metrics[names.TRAIN_S] + r.metrics[names.EVAL_S] for r in records)
    assert total <= sum(r.metrics[names.WORKER_S] for r in records)
    assert json.loads(records[0].to_json())["spent"]
