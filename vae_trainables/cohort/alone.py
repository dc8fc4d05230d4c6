"""One trial by its own steps, seen as a cohort of one: what is left where stacked steps fail."""

from __future__ import annotations

from typing import Any

from vae_trainables.cohort.assignment import Assignment
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.numerics.streams import Backend
from vae_trainables.training.session import Record, Session
from vae_trainables.training.trial import Trial


class Alone:
    """A slot for one trial of any configuration; its numbers are those of `Trial`."""

    slots = 1
    way = "alone"

    def __init__(
        self,
        data: TrialData,
        *,
        device: str,
        evaluator: Evaluator,
        backend: Backend | None = None,
        save_every_s: float = 0.0,
    ) -> None:
        """data: its training images on `device`, where several share them. Rest: as of `Cohort`."""
        self.data, self.device, self.evaluator = data, device, evaluator
        self.backend, self.save_every_s = backend, save_every_s
        self._assignment: Assignment | None = None
        self._session: Session | None = None

    @property
    def vacant(self) -> list[int]:
        """The slots without a trial."""
        return [0] if self._session is None else []

    def accepts(self, config: TrialConfig) -> bool:
        """Whether `config` may be admitted."""
        return self._session is None

    def admit(self, slot: int, assignment: Assignment) -> list[Record]:
        """Seat a trial where its newest checkpoint left it; see `Cohort.admit`."""
        session = Session(
            assignment.config,
            self.data,
            assignment.folder,
            open_test=assignment.open_test,
            device=self.device,
            evaluator=self.evaluator,
            trial_type=self._trial,
            save_every_s=self.save_every_s,
            keep_at=assignment.keep_at,
        )
        records, goes_on = assignment.opened(session)
        if goes_on:
            self._assignment, self._session = assignment, session
        return records

    def _trial(self, config: TrialConfig, data: TrialData, **where: Any) -> Trial:
        return Trial(config, data, backend=self.backend, **where)

    def run_epoch(self) -> list[tuple[int, Record]]:
        """Train an epoch; its news. A trial that has ended leaves."""
        session, assignment = self._session, self._assignment
        if session is None or assignment is None:
            return []
        record = session.next_record()
        if record.outcome != "running":
            self.release(0)
        return [(0, record)] if assignment.news(record) else []

    def keep(self, slot: int) -> Record | None:
        """Write a checkpoint of the trial now; a record only if that was its end."""
        return None if self._session is None else self._session.keep()

    def release(self, slot: int) -> None:
        """Vacate the slot; the trial's checkpoints stay."""
        self._session = self._assignment = None

    def disband(self) -> None:
        """Give up the trial, which goes on from its newest checkpoint."""
        self.release(0)
