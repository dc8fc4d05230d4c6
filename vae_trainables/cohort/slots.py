"""How many slots a device bears: found by measuring, halved when memory runs out all the same."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from vae_trainables.cohort.cohort import Cohort
from vae_trainables.cohort.fusion import fusion_key
from vae_trainables.cohort.ways import Ways
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.session import is_out_of_memory

GROWTH = 1.10  # twice the slots must train at least this much faster
MEMORY_LIMIT = 0.80  # of the device's memory
LARGEST = 128
REHEARSED_STEPS = 20
KEPT = 64 * 2**20  # bytes; libraries keep a workspace from their first use on

T = TypeVar("T")


@dataclass(frozen=True)
class Measurement:
    """A cohort of some number of slots at work."""

    images_per_s: float
    memory_share: float
    """Of the device's memory, everything on it included."""
    kept: int = 0
    """Bytes that were not given back afterwards: larger sizes would be measured in what is left."""


def auto_slots(
    config: TrialConfig,
    data: TrialData,
    *,
    device: torch.device | str,
    like: Sequence[TrialConfig] = (),
    ways: Ways | None = None,
) -> int:
    """Slots for trials like `config`, and `like` it. 1 on a CPU, where fusing was seen to lose."""
    device = torch.device(device)
    if device.type == "cpu" or not fusion_key(config).fusible:
        return 1

    def measure(slots: int) -> Measurement:
        before = torch.cuda.memory_allocated(device)
        cohort = Cohort(config, data, slots=slots, device=device, like=like, ways=ways)
        try:
            rate = cohort.rehearse(REHEARSED_STEPS)
            free, total = torch.cuda.mem_get_info(device)
        finally:
            cohort.disband()  # else two sizes at a time would be measured
            del cohort
            free_memory()
        kept = torch.cuda.memory_allocated(device) - before
        return Measurement(rate, 1 - free / total, kept if slots > 1 else 0)

    return knee(measure)


def knee(measure: Callable[[int], Measurement], *, largest: int = LARGEST) -> int:
    """The last of 1, 2, 4, ... slots that is worth its memory.

    Doubling ends where `measure` finds that it trains less than `GROWTH` times faster, needs more
    than `MEMORY_LIMIT`, does not give its memory back, or runs out of it. One slot must do,
    whatever it needs: with too little memory for that, `measure`'s error is raised.
    """
    best, best_rate = 0, 0.0
    while 2 * best <= largest:
        slots = max(1, 2 * best)
        try:
            measurement = measure(slots)
        except Exception as error:
            if best == 0 or not is_out_of_memory(error):
                raise
            break
        worth = (
            measurement.images_per_s > GROWTH * best_rate
            and measurement.memory_share < MEMORY_LIMIT
        )
        if best > 0 and not worth:
            break
        best, best_rate = slots, measurement.images_per_s
        if measurement.memory_share >= MEMORY_LIMIT or measurement.kept > KEPT:
            break
    return best


def within_memory(build: Callable[[int], T], slots: int) -> T:
    """`build(slots)`, each time that memory runs out with half as many, down to 1."""
    while True:
        try:
            return build(slots)
        except Exception as error:
            if slots == 1 or not is_out_of_memory(error):
                raise
        # Out here the error is gone, and with it what its traceback held on to.
        free_memory()
        slots //= 2


def free_memory() -> None:
    """Give back to the device what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def usable(device: torch.device | str) -> bool:
    """Whether the process can still compute there: some errors of a GPU make it useless to it."""
    try:
        return torch.zeros(1, device=device).add_(1).item() == 1
    except Exception:
        return False
