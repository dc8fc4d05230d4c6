"""What goes between the driver and workers that train many trials: letters there, results back.

A running trainable takes no messages, so letters lie in an actor, a process of its own, until they
are fetched. It imports nothing but Ray: with torch behind it, it would start as slowly as a worker,
beside one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ray

if TYPE_CHECKING:
    from vae_trainables.training.session import Record


@ray.remote(num_cpus=0)
class Mailbox:
    """Letters to the workers, in order."""

    def __init__(self) -> None:
        self.letters: dict[str, list[dict[str, Any]]] = {}

    def put(self, worker: str, letters: list[dict[str, Any]]) -> None:
        """Add letters for a worker."""
        self.letters.setdefault(worker, []).extend(letters)

    def take(self, worker: str) -> list[dict[str, Any]]:
        """All letters for a worker, once."""
        return self.letters.pop(worker, [])


def epoch_result(
    records: Sequence[tuple[str, Record]],
    *,
    slots: int,
    evicted: Sequence[str] = (),
    moved: Sequence[str] = (),
    stacked: Mapping[str, int] | None = None,
    notes: Sequence[str] = (),
    ways: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a worker returns through Tune after an epoch; `Dealer.hear` reads it."""
    return {
        "records": json.dumps([[key, record.to_json()] for key, record in records]),
        "evicted": json.dumps(list(evicted)),
        "moved": json.dumps(list(moved)),
        "slots": slots,
        "stacked": json.dumps(dict(stacked or {})),
        "notes": json.dumps(list(notes)),
        "ways": json.dumps(dict(ways or {})),
    }
