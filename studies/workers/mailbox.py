"""Letters from the driver to workers that train: a running trainable takes no messages.

It is an actor, a process of its own, and imports nothing but Ray: with torch behind it, it would
start as slowly as a worker, beside one.
"""

from __future__ import annotations

from typing import Any

import ray


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
