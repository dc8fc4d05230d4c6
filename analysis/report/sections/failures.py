"""What went wrong, and why, as far as the trials could say."""

from __future__ import annotations

import pandas as pd

from analysis.report.page import Block, Prose, Section, TableBlock
from analysis.tables.table import Column, Table
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import FAILED

LISTED = 50
ENDED_BADLY = (*FAILED, "interrupted")


def section(results: StudyResults) -> Section:
    """A sentence where nothing failed, else reasons by frequency and the trials."""
    trials = results.trials[results.trials["status"].isin(ENDED_BADLY)]
    blocks: list[Block] = []
    if trials.empty:
        blocks.append(Prose("No trial failed."))
    else:
        share = len(trials) / len(results.trials)
        blocks.append(Prose(f"{len(trials):,} of {len(results.trials):,} runs ({share:.1%})."))
        blocks.append(TableBlock(reasons(trials), "failure_reasons"))
        blocks.append(TableBlock(listing(trials), "failures"))
    remarked = results.trials[results.trials["notes"] != ""]
    if not remarked.empty:
        blocks.append(TableBlock(remarks(remarked), "remarks"))
    return Section("failures", "Failures", tuple(blocks))


def reasons(trials: pd.DataFrame) -> Table:
    """How often each reason occurred; reasons that differ in numbers only count as one."""
    general = trials["reason"].str.replace(r"\d+(\.\d+)?", "…", regex=True)
    counted = trials.assign(general=general).groupby(["status", "general"], sort=False)
    rows = counted.agg(
        count=("trial", "size"), first=("trial", "first"), reason=("reason", "first")
    )
    rows = rows.reset_index().sort_values("count", ascending=False, kind="stable")
    rows["status"] = rows["status"].str.replace("_", " ")
    columns = (
        Column("status", "how it ended"),
        Column("count", "runs", spec="d"),
        Column("reason", "reason (of the first)"),
        Column("first", "first run"),
    )
    return Table(columns, rows, "Reasons")


def listing(trials: pd.DataFrame, limit: int = LISTED) -> Table:
    """Trials that ended badly, the latest last."""
    shown = trials.iloc[:limit].assign(status=trials["status"].str.replace("_", " "))
    columns = (
        Column("trial", "trial"),
        Column("status", "how it ended"),
        Column("epochs", "epochs", spec="d"),
        Column("attempt", "attempt", spec="d"),
        Column("reason", "reason"),
    )
    cut = len(trials) > limit
    note = f"The first {limit} of {len(trials):,}; all are in trials.csv." if cut else ""
    return Table(columns, shown, "Trials that did not finish", note)


def remarks(trials: pd.DataFrame, limit: int = LISTED) -> Table:
    """What trials remarked although they went on."""
    columns = (Column("trial", "trial"), Column("notes", "remark"))
    return Table(columns, trials.iloc[:limit], "Remarks of trials")
