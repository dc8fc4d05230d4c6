"""What the study cost, and what of that was wasted."""

from __future__ import annotations

import math

import pandas as pd

from analysis.report.page import Block, KeyNumber, KeyNumbers, Prose, Section, TableBlock
from analysis.tables.table import Column, Table
from analysis.tracker import cost
from analysis.tracker.cost import Cost
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import METRIC, PARAM

HOUR, KWH = 3600.0, 3.6e6  # in seconds, in joules


def section(results: StudyResults) -> Section | None:
    """None where no worker measured anything, as in studies of earlier versions."""
    measured = cost.cost_of(_measured(results.trials))
    if measured is None:
        return None
    blocks: list[Block] = [KeyNumbers(tuple(numbers(measured)))]
    wasted = cost.findings(measured)
    blocks += [Prose(sentence) for sentence in wasted or ["Nothing notable was wasted."]]
    blocks.append(TableBlock(table(measured), "cost"))
    return Section("cost", "What it cost", tuple(blocks))


def _measured(trials: pd.DataFrame) -> pd.DataFrame:
    """What `cost_of` takes, under the names that it takes."""
    columns = {name: name for name in ("trial", "phase", "device", "started", "ended")}
    columns |= {METRIC + name: name for name in cost.MEASURED} | {PARAM + "threads": "threads"}
    there = {column: name for column, name in columns.items() if column in trials}
    return trials[list(there)].rename(columns=there)


def numbers(measured: Cost) -> list[KeyNumber]:
    """The few that are looked for."""
    shown = [
        KeyNumber("workers' time", duration(measured.held_s)),
        KeyNumber("CPU time", duration(measured.cpu_s)),
        KeyNumber(
            "most memory of a trial",
            f"{measured.memory_mib:,.0f} MiB",
            f"trial {measured.memory_trial}",
        ),
    ]
    if not math.isnan(measured.gpu_percent):
        shown.append(KeyNumber("GPU at work", f"{measured.gpu_percent:.0f} %", "of the time"))
    if not math.isnan(measured.energy_j):
        energy = f"{measured.energy_j / KWH:.3g} kWh"
        shown.append(KeyNumber("energy", energy, "of CPUs and GPUs that tell"))
    return shown


def table(measured: Cost) -> Table:
    """Where the workers' time went."""
    parts = {
        "training": measured.train_s,
        "evaluation": measured.eval_s,
        "opening, checkpoints, final tests": measured.rest_s,
        "waiting between epochs and trials": measured.waited_s,
        "waiting while a phase's last trials went on": measured.tail_s,
    }
    rows = [
        {"what": what, "hours": seconds / HOUR, "share": 100 * seconds / (measured.held_s or 1.0)}
        for what, seconds in parts.items()
    ]
    columns = (
        Column("what", "what workers did"),
        Column("hours", "hours", spec=".3f"),
        Column("share", "share", "%", spec=".1f"),
    )
    return Table(columns, pd.DataFrame(rows), "Where the workers' time went", _note(measured))


def _note(measured: Cost) -> str:
    left = measured.of - measured.trials
    missing = f" {left:,} of {measured.of:,} trials were not measured." if left else ""
    return (
        "Measured by the workers themselves. Of a worker that trains several trials at once, each "
        "trial has its part: of steps that they take together an equal one. What a crash has lost, "
        f"Ray, the driver and the tracker are not in it.{missing}"
    )


def duration(seconds: float) -> str:
    """In the unit that suits.

    >>> duration(12.34), duration(600), duration(9000)
    ('12.3 s', '10.0 min', '2.50 h')
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.2f} h"
