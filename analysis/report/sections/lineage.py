"""Where a member of population based training comes from: whose weights, under which settings."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from analysis.report.page import Prose, Section, TableBlock
from analysis.tables.table import Column, Table
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import PARAM


def section(results: StudyResults) -> Section | None:
    """The best trial's lineage; None for a study without heirs."""
    best, search = results.winner, results.search
    heirs = int((search["parent"] != "").sum())
    if best is None or not heirs:
        return None
    line = ancestors(search, str(best["trial"]))
    text = (
        f"The population had {heirs} heirs, which went on from the weights of a better one with "
        f"settings of their own. The best trial is {best['trial']}"
    )
    if len(line) == 1:
        text += ", which is nobody's heir: it was trained with the same settings throughout."
        return Section("lineage", "Lineage of the best", (Prose(text),))
    text += (
        f", heir of {', '.join(line[-2::-1])}. Its settings are a schedule, which is part of its "
        "configuration (lineage): confirmation and python -m studies.reproduce train all of it "
        "again from the first epoch."
    )
    return Section(
        "lineage",
        "Lineage of the best",
        (Prose(text), TableBlock(stretches(best, line), "lineage")),
    )


def ancestors(search: pd.DataFrame, trial: str) -> list[str]:
    """A trial and those whose weights it goes back to, the first of them first."""
    parents = dict(zip(search["trial"], search["parent"], strict=True))
    line = [trial]
    while parent := parents.get(line[-1], ""):
        line.append(parent)
    return line[::-1]


def stretches(best: pd.Series[Any], line: list[str]) -> Table:
    """Of each stretch of epochs who trained it and what held in it, of all that ever changed."""
    lineage = json.loads(best[PARAM + "lineage"])
    changed = sorted({name for stretch in lineage for name in stretch["settings"]})
    held = {name: best[PARAM + name] for name in changed}
    rows: list[dict[str, Any]] = []
    ends = [*(int(stretch["until"]) for stretch in lineage), int(best["epochs"])]
    begins = [1, *(end + 1 for end in ends)]
    before = [*(stretch["settings"] for stretch in lineage), {}]
    whole = list(zip(line, begins, ends, before, strict=False))
    for trial, begin, end, settings in reversed(whole):
        held = held | settings
        epochs = f"{begin}–{end}" if begin < end else str(end)
        rows.insert(0, {"trial": trial, "epochs": epochs, **held})
    columns = [Column("trial", "trained by"), Column("epochs", "epochs")]
    columns += [Column(name, name, spec=".3g") for name in changed]
    return Table(tuple(columns), pd.DataFrame(rows), "Settings of the best trial, by epochs")
