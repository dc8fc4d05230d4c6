"""A trial as it is given to a slot, and what it repeats when it takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vae_trainables.config import TrialConfig
from vae_trainables.training.session import Record, Session


@dataclass(frozen=True)
class Assignment:
    """A trial for a slot; config, folder and open_test are those of `Session`."""

    config: TrialConfig
    folder: Path
    open_test: bool = False
    told: int = 0
    """Epochs whose records are known already and are not told again, the record of an end excepted.

    A checkpoint may be older than what was told: such epochs are trained again in silence.
    """
    keep_at: tuple[int, ...] = ()
    """As of `Session`."""

    def news(self, record: Record) -> bool:
        """Whether `record` is to be told."""
        return record.epoch > self.told or record.outcome != "running"

    def opened(self, session: Session) -> tuple[list[Record], bool]:
        """Bring `session` to its newest checkpoint: the news that this repeats, whether it goes on.

        An error in opening is such news too, the last.
        """
        failure = session.open()
        if failure is not None:
            return [failure], False
        records = []
        while session.replaying:
            records.append(session.next_record())
        goes_on = not records or records[-1].outcome == "running"
        return [record for record in records if self.news(record)], goes_on
