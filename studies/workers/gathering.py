"""Which worker's trials may go over to another, where a study's last trials are spread thin.

A cohort's step costs the same for one trial as for all of its slots, so that two cohorts that would
fit into one cost twice what they need. No trial trains later for it: it takes a slot that is
computed anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

Counts = Mapping[str, int]
"""Trials or slots by `FusionKey.shared`."""


@dataclass(frozen=True)
class Bench:
    """What a worker has said of its slots."""

    slots: int
    """Trials that it takes in all."""
    stacked: Counts
    """Slots of its cohorts, together more than it takes where a key has several."""


def host(worker: str, trials: Mapping[str, Counts], benches: Mapping[str, Bench]) -> str | None:
    """The worker whose vacant slots take all of `worker`'s trials; None if there is none.

    trials: by worker, on their way to it included. It is the fullest that has no fewer
    trials than `worker`: the least is moved.
    """
    size = {name: sum(counts.values()) for name, counts in trials.items()}
    able = [
        other
        for other, bench in benches.items()
        if other != worker
        and size[other] + size[worker] <= bench.slots
        and size[other] >= size[worker]
        and _fits(trials[worker], trials[other], bench.stacked)
    ]
    return max(able, key=lambda other: (size[other], other), default=None)


def _fits(arriving: Counts, present: Counts, slots: Counts) -> bool:
    vacant = Counter(slots)
    vacant.subtract(present)
    return all(vacant[key] >= count for key, count in arriving.items())
