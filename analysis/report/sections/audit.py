"""The study looks at itself: how the search went on, whether it overtuned, what it vouches for."""

from __future__ import annotations

import pandas as pd

from analysis.figures import incumbents as figure
from analysis.report import bibliography, checklist, methods
from analysis.report.page import Block, Command, Plots, Prose, Section, TableBlock
from analysis.report.sections import confirmed
from analysis.report.sections.confirmed import REFERENCE, Confirmations
from analysis.statistics.confirmation import Confirmation
from analysis.statistics.incumbents import Incumbent, true_regrets
from analysis.statistics.overtuning import Overtuning, overtuning
from analysis.statistics.quantities import quantity
from analysis.tables.table import Column, Table
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import METRIC


def section(results: StudyResults) -> Section | None:
    """Best so far, overtuning, checklist, methods, sources; None for a study without a search."""
    if results.search.empty:
        return None
    outcome = confirmed.findings(results)
    confirmation = outcome[0] if outcome else None
    blocks: list[Block] = []
    course = figure.info(results)
    steps = course.steps
    if steps:
        blocks += [
            Plots((figure.plot(course),), wide=True),
            TableBlock(regret_table(results, steps, _tested(results, confirmation)), "incumbents"),
        ]
    blocks += [Prose(overtuning_sentence(results, _overtuning(results, steps, outcome)))]
    blocks += [
        TableBlock(checklist.table(results, confirmation), "good_practice"),
        Prose("Methods, ready to paste:"),
        Prose(methods.paragraph(results, confirmation)),
        Prose("What was used, as BibTeX:"),
        Command(bibliography.to_bibtex(results)),
    ]
    return Section("audit", "The search, audited", tuple(blocks))


def _tested(results: StudyResults, confirmation: Confirmation | None) -> dict[str, float]:
    """Confirmed means on test images by the search trial that they repeat."""
    if confirmation is None:
        return {}
    means = {c.configuration: c.estimate.mean for c in confirmation.configurations}
    if REFERENCE in means and results.reference is not None:
        means[str(results.reference["trial"])] = means.pop(REFERENCE)
    return {trial: mean for trial, mean in means.items() if mean == mean}


def regret_table(
    results: StudyResults, steps: tuple[Incumbent, ...], tested: dict[str, float]
) -> Table:
    """The incumbents with their regrets; the true one only where confirmation knows it."""
    direction = results.objective.direction
    true = true_regrets(steps, tested, direction)
    measure, test = quantity(results.objective.metric), quantity(confirmed.test_metric(results))
    fine = measure.difference()
    rows = [
        {
            "trial": step.trial,
            "trials": step.trials,
            "epochs": step.epochs,
            "score": step.score,
            "regret": step.regret,
            "tested": tested.get(step.trial),
            "true": true.get(step.trial),
        }
        for step in steps
    ]
    columns = [
        Column("trial", "incumbent"),
        Column("trials", "after trials", spec="d"),
        Column("epochs", "after epochs", spec="d"),
        Column("score", measure.header, spec=measure.spec),
        Column("regret", "simple regret", spec=fine.spec),
    ]
    note = "Simple regret: distance to the search's last best, by validation."
    if true:
        columns += [
            Column("tested", f"{test.header}, confirmed", spec=test.spec),
            Column("true", "true regret", spec=fine.spec),
        ]
        note += (
            " True regret: distance to the best confirmed mean on test images, for incumbents "
            "that were confirmed; the best of several means flatters itself."
        )
    return Table(tuple(columns), pd.DataFrame(rows), "Best so far", note)


def _overtuning(
    results: StudyResults,
    steps: tuple[Incumbent, ...],
    outcome: tuple[Confirmation, Confirmations] | None,
) -> Overtuning | None:
    """Of the confirmed incumbents on test images; None where there are fewer than two."""
    if outcome is None:
        return None
    confirmation, confirmations = outcome
    reference = results.reference
    names = {str(reference["trial"]): REFERENCE} if reference is not None else {}
    scores: dict[str, dict[int, float]] = {}
    for row in confirmations.runs.to_dict("records"):
        value = row.get(METRIC + confirmation.metric)
        if value is not None and pd.notna(value):
            scores.setdefault(str(row["configuration"]), {})[int(row["seed"])] = float(value)
    order = [names.get(step.trial, step.trial) for step in steps]
    return overtuning(order, scores, confirmation.direction)


def overtuning_sentence(results: StudyResults, measured: Overtuning | None) -> str:
    """What the study can say of its overtuning (Schneider et al. 2025)."""
    if measured is None:
        return (
            "Overtuning cannot be told: at least two incumbents of the search have to be confirmed "
            "on fresh seeds, the default and the last."
        )
    unit = quantity(confirmed.test_metric(results)).difference()
    first = measured.against_first
    below = "worse" if first.mean > 0 else "better"
    sentence = (
        f"On test images the search's last incumbent is {unit.text(abs(first.mean))} {below} "
        f"than its first (95 % interval of the distance {unit.text(first.low)} to "
        f"{unit.text(first.high)}, positive is worse; {len(measured.seeds)} seeds). "
    )
    sentence += (
        "It ended below where it began. "
        if measured.ended_below_first
        else "Nothing says that it ended below where it began. "
    )
    relative = (
        "" if measured.relative != measured.relative else f", {measured.relative:.2f} of the gain"
    )
    return sentence + (
        f"Overtuning by its definition, among {len(measured.incumbents)} confirmed incumbents: "
        f"between {unit.text(measured.lower)} (seeds crossed, too small on average) and "
        f"{unit.text(measured.upper)} (least mean, too large on average{relative})."
    )
