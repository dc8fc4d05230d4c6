"""The search for the number of slots, with made-up measurements."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.vae_trainables.cohort.support import (
    assert_same_bits,
    config,
    run_cohort,
    small_data,
    solo,
)
from vae_trainables.cohort import Cohort, fusion, slots, usable
from vae_trainables.cohort.slots import Measurement, auto_slots, knee, within_memory


class Device:
    """Pretends that cohorts of some numbers of slots run at some rates."""

    def __init__(self, rate: Callable[[int], float], memory_per_slot: float = 0.0) -> None:
        self.rate, self.memory_per_slot = rate, memory_per_slot
        self.tried: list[int] = []

    def __call__(self, count: int) -> Measurement:
        self.tried.append(count)
        share = 0.05 + self.memory_per_slot * count
        if share > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Measurement(self.rate(count), share)


def test_doubling_ends_where_it_brings_no_tenth_more() -> None:
    device = Device(lambda count: min(count, 16) * (1 + count / 1000))
    assert knee(device) == 16
    assert device.tried == [1, 2, 4, 8, 16, 32]


def test_a_tenth_more_is_not_more_than_a_tenth_more() -> None:
    assert knee(Device(lambda count: 1.10 if count > 1 else 1.0)) == 1
    assert knee(Device(lambda count: {1: 1.0, 2: 1.11}.get(count, 1.0))) == 2


def test_a_rate_that_always_grows_ends_at_the_largest() -> None:
    assert knee(Device(float), largest=64) == 64
    assert knee(Device(float), largest=100) == 64


def test_memory_stays_below_four_fifths() -> None:
    assert knee(Device(float, memory_per_slot=0.1)) == 4  # 8 slots take 85 %
    assert knee(Device(float, memory_per_slot=0.8)) == 1


def test_running_out_of_memory_ends_the_search_and_not_the_study() -> None:
    device = Device(float, memory_per_slot=0.15)
    assert knee(device) == 4
    assert device.tried == [1, 2, 4, 8]


def test_too_little_memory_for_one_slot_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        knee(Device(float, memory_per_slot=2.0))


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def broken(count: int) -> Measurement:
        if count > 1:
            raise RuntimeError("illegal instruction")
        return Measurement(1.0, 0.1)

    with pytest.raises(RuntimeError, match="illegal instruction"):
        knee(broken)
    with pytest.raises(RuntimeError, match="illegal instruction"):
        within_memory(broken, 2)


def test_out_of_memory_halves_until_it_fits() -> None:
    device = Device(float, memory_per_slot=0.15)
    assert within_memory(device, 32).images_per_s == 4
    assert device.tried == [32, 16, 8, 4]
    with pytest.raises(torch.OutOfMemoryError):
        within_memory(Device(float, memory_per_slot=2.0), 8)


def test_a_cpu_and_an_unfusible_kind_get_one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    assert auto_slots(config(), small_data(), device="cpu") == 1
    monkeypatch.setattr(fusion, "obstacle", lambda chosen: "it looks at values")
    assert auto_slots(config("res_conv_vae"), small_data(), device="cuda") == 1


def test_a_rehearsal_gives_a_rate_and_leaves_no_trace(tmp_path: Path) -> None:
    chosen = config()
    run = run_cohort({}, tmp_path, slots=2, epochs=0, first=chosen)
    assert run.cohort.rehearse(10) > 0
    run.admit(0, chosen)
    run.epochs(2)
    assert_same_bits(run.members[0], solo(chosen, epochs=2))
    run.admit(1, chosen)
    run.epochs(1)
    with pytest.raises(ValueError, match="rehearse before"):
        run.cohort.rehearse(1)


def test_each_size_is_measured_with_the_memory_of_the_last_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[weakref.ref[Cohort]] = []
    freed: list[int] = []

    class Counted(Cohort):
        def __init__(self, *how: Any, **settings: Any) -> None:
            assert all(cohort() is None for cohort in made)
            super().__init__(*how, **(settings | {"device": "cpu"}))
            made.append(weakref.ref(self))

        def rehearse(self, steps: int) -> float:
            return float(self.slots)

    monkeypatch.setattr(slots, "Cohort", Counted)
    monkeypatch.setattr(slots, "free_memory", lambda: freed.append(len(made)))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (90, 100))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    assert auto_slots(config(), small_data(), device="cuda") == 128
    assert freed == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_device_that_computes_is_usable_and_one_that_is_not_there_is_not() -> None:
    assert usable("cpu")
    assert usable("cuda") is torch.cuda.is_available()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_finds_slots_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "LARGEST", 4)
    assert auto_slots(config(), small_data(), device="cuda") in (1, 2, 4)


def test_sizes_are_not_compared_in_memory_that_others_have_kept() -> None:
    def leaking(count: int) -> Measurement:
        return Measurement(float(count), 0.1, kept=0 if count < 8 else slots.KEPT + 1)

    assert knee(leaking) == 8


@pytest.mark.parametrize(("leak", "expected"), [(0, 128), (slots.KEPT + 1, 2)])
def test_what_a_size_leaves_on_the_device_is_measured(
    leak: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocated = [0]

    class Leaking(Cohort):
        def __init__(self, *how: Any, **settings: Any) -> None:
            super().__init__(*how, **(settings | {"device": "cpu"}))
            allocated[0] += leak

        def rehearse(self, steps: int) -> float:
            return float(self.slots)

    monkeypatch.setattr(slots, "Cohort", Leaking)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (90, 100))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated[0])
    assert auto_slots(config(), small_data(), device="cuda") == expected
