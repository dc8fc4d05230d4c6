"""The trials that can be picked on a page: their runs, and what to do with them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from analysis.figures.base import PER_CURVE, PER_TRIAL
from analysis.report.page import Block, ParallelPlot, Plots, Section, Selection, TableBlock
from analysis.tracker.results import StudyResults

TRIAL_COLUMN = "trial"


def selection(results: StudyResults, sections: Iterable[Section]) -> Selection:
    """Of the trials that the sections' charts and tables show."""
    shown = {key for section in sections for block in section.blocks for key in keys_of(block)}
    trials = results.trials[results.trials["trial"].isin(shown)]
    rows = zip(trials["trial"], trials["run_id"], trials["status"], strict=True)
    return Selection(
        {key: (run_id, status) for key, run_id, status in rows}, commands(results, "TRIAL")
    )


def keys_of(block: Block) -> Iterator[str]:
    """The keys of the trials that can be picked in a block."""
    if isinstance(block, Plots):
        for plot in block.plots:
            for trace in plot.spec["data"]:
                if trace.get("meta") in (PER_TRIAL, PER_CURVE):
                    yield from trace["text"]
    elif isinstance(block, ParallelPlot):
        yield from block.plot.spec["trials"]
    elif isinstance(block, TableBlock) and TRIAL_COLUMN in block.table.frame:
        yield from block.table.frame[TRIAL_COLUMN]


def commands(results: StudyResults, key: str) -> dict[str, str]:
    """What goes on from a finished trial, by the command's name."""
    study, uri = shlex.quote(results.name), shlex.quote(results.tracker.uri)
    where = f"--study {study} --tracking-uri {uri}"
    return {
        "gallery": f"python -m analysis.gallery {key} {where} --out gallery-{key}",
        "publish": f"python -m analysis.publish {where} --run {key}",
        "reproduce": f"python -m studies.reproduce {key} {where} --check",
    }
