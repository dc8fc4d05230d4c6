"""What a packed study consists of, and what may be in an archive that a stranger has sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 1
MANIFEST = "pack.json"  # the archive's first file
LARGEST_MANIFEST = 64 * 2**20  # bytes
LEDGER, EVENTS, HEADER = "ledger.journal", "spool/events.jsonl", "spool/study.json"
_ALLOWED = re.compile(
    rf"{re.escape(LEDGER)}|{re.escape(EVENTS)}|{re.escape(HEADER)}"
    r"|record/(?!\.)[\w.-]{1,100}|trials/[\w-]{1,100}/(?!\.)[\w.-]{1,100}",
    re.ASCII,
)


class File(BaseModel):
    """A file of the archive."""

    model_config = ConfigDict(extra="forbid")

    name: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What the archive holds, in order; `study` is the name of the experiment."""

    model_config = ConfigDict(extra="forbid")

    format: int
    study: str = Field(min_length=1, max_length=250)
    begun_ms: int | None
    """When the study's run was opened: by this and its name it is known again in a tracker."""
    files: list[File]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def is_allowed(name: str) -> bool:
    """Whether a packed study may have a file of that name: below its folder, of a known kind."""
    return _ALLOWED.fullmatch(name) is not None


def packed_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and places of a study's files, but for the spool's header, sorted by name.

    How far a tracker was told, locks and logs belong to the machine and stay there.
    """
    places = [
        folder / LEDGER,
        folder / EVENTS,
        *folder.glob("record/*"),
        *folder.glob("trials/*/*"),
    ]
    named = {path.relative_to(folder).as_posix(): path for path in places if path.is_file()}
    yield from ((name, named[name]) for name in sorted(named) if is_allowed(name))


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
