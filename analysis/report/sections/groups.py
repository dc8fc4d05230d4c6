"""Several studies, or groups of one study, side by side: a table and small multiples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.figures import anytime, curves, groups, incumbents
from analysis.figures.base import Plot
from analysis.report.page import Block, Plots, Prose, Section, TableBlock
from analysis.report.sections.overview import compute_hours, total_epochs
from analysis.statistics.quantities import quantity
from analysis.statistics.search_space import label
from analysis.tables.table import Column, Table
from analysis.tracker import runs
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import METRIC, PARAM

MOST = 12  # groups; more are no comparison but a list
CURVES = 60  # of each group
SCORES = ("val/mse", "val/psnr", "val/ssim", "val/neg_elbo", "val/probe")
ALIASES = {"model": "kind"}
STUDY = "study"
"""What groups are that were searched one by one, and not parts of one search."""

Groups = list[tuple[str, StudyResults]]


class GroupError(ValueError):
    """A --group-by that the study cannot be grouped by."""


def split(results: StudyResults, by: str) -> Groups:
    """The study's search trials by the values of a parameter or column, the largest group first.

    Raises GroupError for a name that no trial has.
    """
    name = ALIASES.get(by, by)
    column = PARAM + name if PARAM + name in results.trials else name
    if column not in results.trials:
        parameters = results.parameters
        raise GroupError(
            f"--group-by {by!r}: no trial of {results.name!r} has such a parameter; "
            f"there are: {', '.join(parameters) or 'none'}"
        )
    values = results.search[column].map(label)
    largest = values.value_counts().index[:MOST]
    return [
        (
            value if _is_word(value) else f"{name} {value}",
            replace(results, trials=results.search[values == value]),
        )
        for value in sorted(largest)
    ]


def _is_word(value: str) -> bool:
    """Whether a value says by itself what it is; 16 does not."""
    return value[:1].isalpha() and value not in ("true", "false", "null")


def section(found: Groups, title: str, what: str) -> Section:
    """Table and small multiples of groups; `what` names a group, such as `STUDY`."""
    blocks: list[Block] = [TableBlock(table(found, what), "groups")]
    metrics = {results.objective.metric for _, results in found}
    if len(metrics) > 1:
        listed = ", ".join(sorted(quantity(metric).label for metric in metrics))
        blocks.append(
            Prose(f"They optimise different quantities ({listed}), so no plot compares them.")
        )
        return Section("groups", title, tuple(blocks))
    if any(not results.ranked.empty for _, results in found):
        blocks.append(Plots((groups.plot(groups.info(found)),), wide=True))
    if what == STUDY and (races := anytime.plots([(n, incumbents.info(r)) for n, r in found])):
        blocks.append(Prose("What each search had found when it had trained so many epochs."))
        blocks.append(Plots(races))
    if plots := _small_multiples(found):
        blocks.append(Prose("Learning curves of each, on the same scale."))
        blocks.append(Plots(tuple(plots), legend=curves.legend()))
    return Section("groups", title, tuple(blocks))


def table(found: Groups, what: str) -> Table:
    """What each group spent and the scores of its best trial."""
    rows = [_row(name, results) for name, results in found]
    frame = pd.DataFrame(rows)
    columns = [
        Column("name", what),
        Column("trials", "trials", spec="d"),
        Column("finished", "finished", spec="d"),
        Column("epochs", "epochs", spec="d"),
        Column("hours", "training", "h", spec=".2f"),
        Column("best", "best trial"),
    ]
    columns += [Column.of(quantity(name), name) for name in SCORES if frame[name].notna().any()]
    note = (
        "Scores are of the best trial by the group's own objective, on validation images, not "
        "confirmed; trials, epochs and hours count all runs, confirmation too. A group with more "
        "trials had more luck to draw from."
    )
    return Table(tuple(columns), frame, "Groups", note)


def _row(name: str, results: StudyResults) -> dict[str, Any]:
    winner = results.winner
    row: dict[str, Any] = {
        "name": name,
        "trials": len(results.trials),
        "finished": results.count("finished"),
        "epochs": total_epochs(results.trials),
        "hours": compute_hours(results.trials)[0],
        "best": None if winner is None else winner["trial"],
    }
    return row | {
        metric: None if winner is None else winner.get(METRIC + metric) for metric in SCORES
    }


def _small_multiples(members: Groups) -> list[Plot]:
    """One panel per group with the same limits."""
    metric = members[0][1].objective.metric
    panels: list[tuple[str, curves.Curves]] = []
    for name, results in members:
        trials = curves.choose(results, CURVES)
        history = runs.histories(trials["run_id"], [metric], tracker=results.tracker)
        panels.append((name, curves.info(results, trials, history, metric)))
    panels = [(name, panel) for name, panel in panels if panel.curves]
    if not panels:
        return []
    view = curves.common_view([panel for _, panel in panels])
    return [
        replace(curves.plot(panel, view), name=f"group_{number}_curves", title=name)
        for number, (name, panel) in enumerate(panels, start=1)
    ]
