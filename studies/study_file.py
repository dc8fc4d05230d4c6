"""A user's own study file: found, read with its neighbours, imported, its `STUDY` taken."""

from __future__ import annotations

from pathlib import Path

from studies.definition import StudyDefinition
from studies.errors import InputError
from vae_trainables.source import SourceError, collect


def load(path: str | Path) -> StudyDefinition:
    """The `STUDY` of a file anywhere on this machine.

    Raises InputError, in one line, where there is none: with the place in the file if it fails.
    """
    file = Path(path).expanduser()
    if file.suffix != ".py" or not file.is_file():
        raise InputError(f"there is no study file {path}: give the path of a Python file (.py)")
    try:
        source = collect(file)
        module = source.load()
    except SourceError as error:
        raise InputError(str(error)) from error
    study = getattr(module, "STUDY", None)
    if not isinstance(study, StudyDefinition):
        raise InputError(f"{path} defines no study: it needs STUDY = StudyDefinition(...)")
    return study.with_source(source, str(path))
