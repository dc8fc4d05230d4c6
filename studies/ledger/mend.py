"""Set a ledger's damaged lines aside: `python -m studies.ledger.mend STORAGE/STUDY/ledger.journal`.

A disk that changed what was written leaves lines that are no JSON. The ledger cannot be read then,
though all other lines are whole. Optuna numbers trials by the order in which they were created: in
place of a lost creation an empty one is put, so that what follows means what it meant. The file as
it was is kept beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.storages.journal._storage import JournalOperation as Operation

from studies.ledger.journal import LedgerError, parsed
from studies.ledger.ledger import PHASES

FIRST_LINES = "the study's own creation is among the damaged lines: restore the file from a copy"


@dataclass
class Mended:
    """The lines that stay, and what became of the others."""

    lines: list[bytes] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    """Numbers of the lines that were taken out, from 1."""
    recreated: int = 0
    """Creations of trials that were among them."""


def mend(path: Path) -> Mended:
    """Rewrite the ledger without its damaged lines; raises LedgerError where that cannot be done.

    Nothing is written where no line is damaged.
    """
    try:
        with path.open("rb") as ledger:
            fcntl.flock(ledger, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = ledger.read()
            mended = without_damage(content.split(b"\n"))
            if mended.damaged:
                _replace(path, content, mended)
    except BlockingIOError as error:
        raise LedgerError(f"a driver is running this study ({path} is locked): stop it") from error
    except OSError as error:
        raise LedgerError(f"cannot mend {path}: {error.strerror}") from error
    return mended


def without_damage(lines: list[bytes]) -> Mended:
    """The lines that can be read, with an empty creation for each trial that lost its own."""
    mended = Mended()
    trials, studies, study = 0, 0, 0
    gap: int | None = None  # where the newest damaged lines stood
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        log, fault = parsed(line)
        if fault:
            mended.damaged.append(number)
            gap = len(mended.lines)
            continue
        missing = log.get("trial_id", -1) - trials + 1
        if missing > 0 and gap is not None:
            mended.lines[gap:gap] = [_creation(log, study)] * missing
            trials, mended.recreated = trials + missing, mended.recreated + missing
        studies += log["op_code"] == Operation.CREATE_STUDY
        if log["op_code"] == Operation.CREATE_TRIAL:
            trials, study = trials + 1, log["study_id"]
        mended.lines.append(line)
    if mended.damaged and studies < len(PHASES):
        raise LedgerError(FIRST_LINES)
    return mended


def _creation(log: dict[str, Any], study: int) -> bytes:
    """Of a trial in the phase that was under way, which says nothing of itself."""
    made = {
        "op_code": int(Operation.CREATE_TRIAL),
        "worker_id": log["worker_id"],
        "study_id": study,
        "datetime_start": None,
    }
    return json.dumps(made, separators=(",", ":")).encode()


def _replace(path: Path, content: bytes, mended: Mended) -> None:
    """The old file beside the new one; both are on disk before the new one takes the place."""
    kept = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    fresh = path.with_name(f"{path.name}.mended")
    for target, text in ((kept, content), (fresh, b"\n".join([*mended.lines, b""]))):
        with target.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    os.replace(fresh, path)


def main(arguments: list[str]) -> int:
    """Mend the ledger that is named; the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__)
        return 0 if arguments == ["--help"] else 2
    path = Path(arguments[0])
    try:
        mended = mend(path)
    except LedgerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not mended.damaged:
        print(f"{path} has no damaged line")
        return 0
    numbers = ", ".join(map(str, mended.damaged))
    print(f"taken out of {path}: line {numbers}; the file as it was is kept beside it")
    if mended.recreated:
        print(f"{mended.recreated} trials lost the line that created them, and go as failed")
    print("go on with --resume: what the lines said is done again where it is missing")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
