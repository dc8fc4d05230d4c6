"""Studies are data (one file each); `studies.runner` runs them, `studies.tracker` records them.

From Python: `studies.load("my_study.py").run(trials=20)`. What is named here is imported when it is
used: a published model carries this package to machines that have neither Ray nor Optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studies.definition import Objective, StudyDefinition
    from studies.front import Result, Study, load
    from studies.runner.cli import main

_WHERE = {
    "Objective": "studies.definition",
    "StudyDefinition": "studies.definition",
    "Result": "studies.front",
    "Study": "studies.front",
    "load": "studies.front",
    "main": "studies.runner.cli",
}
__all__ = ["Objective", "Result", "Study", "StudyDefinition", "load", "main"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'studies' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
