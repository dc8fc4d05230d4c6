"""A study's own file out of the tracker: imported before its models are rebuilt.

Importing runs it, as `python -m studies.run` did: read trackers that you trust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.tracker import names

if TYPE_CHECKING:
    from analysis.tracker.client import Tracker
    from vae_trainables.source import Source


def source_file(tracker: Tracker, run_id: str) -> Path | None:
    """The file with the source of a trial's study; None for a study of this package."""
    parent = tracker.parent(run_id)
    return tracker.artifact(parent, names.SOURCE_FILE) if parent else None


def adopt(tracker: Tracker, run_id: str) -> None:
    """Make known what the study of a trial defines: its models, terms and metrics.

    Raises SourceError where its source cannot be read or imported here.
    """
    path = source_file(tracker, run_id)
    if path is not None:
        from vae_trainables.source import Source

        Source.from_json(path.read_text("utf-8")).load()


def arrays(tracker: Tracker, parent: str | None) -> Callable[[], Mapping[str, Any]] | None:
    """What makes the images that the own file of the study `parent` brings itself, if it does."""
    path = tracker.artifact(parent, names.SOURCE_FILE) if parent else None
    if path is None:
        return None
    from vae_trainables.source import Source, brought

    return brought(Source.from_json(path.read_text("utf-8")))


def requirements(source: Source) -> list[str]:
    """The exact versions of the installed distributions that a source imports."""
    distributions = metadata.packages_distributions()
    needed = {name for top in source.imports() for name in distributions.get(top, [])}
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in sorted(needed)]
