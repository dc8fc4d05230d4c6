"""A trial as the ledger knows it, the ways in which it can stand, and their names in Optuna."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from optuna.trial import TrialState

from vae_trainables.config import TrialConfig

Status = Literal[
    "planned",
    "running",
    "finished",
    "pruned",
    "failed",
    "diverged",
    "out_of_memory",
    "worker_lost",
    "interrupted",
]
Phase = Literal["search", "confirm", "reference"]
PHASES: tuple[Phase, ...] = ("search", "confirm", "reference")

OPTUNA_STATE: dict[Status, TrialState] = {
    "planned": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "interrupted": TrialState.WAITING,
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "diverged": TrialState.FAIL,
    "out_of_memory": TrialState.FAIL,
    "worker_lost": TrialState.FAIL,
}
FAILURES: frozenset[Status] = frozenset({"failed", "diverged", "out_of_memory", "worker_lost"})
ENDED: frozenset[Status] = FAILURES | {"finished", "pruned"}


@dataclass
class LedgerTrial:
    """One trial as the ledger knows it.

    reports: by epoch (1-based), the metrics that are kept: `Goal.kept`, as far as they are there.
    values: the objectives, once finished; None where they were other ones then.
    like: key of the search trial whose configuration this one repeats on another seed.
    parent: key of the search trial from whose weights this one goes on, at the end of its
        configuration's lineage so far; instead_of: whose place it takes.
    outside: of the search space, which has changed since.
    """

    phase: Phase
    number: int
    config: TrialConfig
    reference: bool = False
    status: Status = "planned"
    attempt: int = 0
    reason: str = ""
    reports: dict[int, dict[str, float]] = field(default_factory=dict)
    values: list[float] | None = None
    like: str = ""
    parent: str = ""
    instead_of: str = ""
    outside: bool = False

    @cached_property
    def group(self) -> str:
        """Equal for trials that differ in nothing but the seed."""
        return self.config.fingerprint()

    @property
    def extra_seed(self) -> bool:
        """True where the sampler did not suggest it: it averages `like` over seeds."""
        return self.phase == "search" and bool(self.like)

    @property
    def suggested(self) -> bool:
        """Whether the sampler suggested it."""
        return self.phase == "search" and not self.like and not self.parent

    @property
    def inherited(self) -> int:
        """Epochs that its parent has trained."""
        return self.config.lineage[-1].until if self.parent else 0

    @property
    def trained(self) -> int:
        """Epochs that it has trained itself."""
        return max(0, len(self.reports) - self.inherited)

    @property
    def key(self) -> str:
        """The trial's name in folders and in the tracker: "0007", "confirm-0003"."""
        number = f"{self.number:04d}"
        return number if self.phase == "search" else f"{self.phase}-{number}"

    @property
    def last(self) -> dict[str, float]:
        """What was kept of the newest epoch; empty before the first."""
        return self.reports[max(self.reports)] if self.reports else {}

    def curve(self, metric: str) -> dict[int, float]:
        """One metric by epoch, where it was measured."""
        return {epoch: kept[metric] for epoch, kept in self.reports.items() if metric in kept}
