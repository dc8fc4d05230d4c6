"""What was searched and spent, and what came of it, in a few numbers and sentences."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.figures.base import Plot
from analysis.report.page import (
    Block,
    Facts,
    KeyNumber,
    KeyNumbers,
    Plots,
    Prose,
    Section,
    TableBlock,
)
from analysis.statistics.quantities import MISSING, format_number, quantity, sign
from analysis.statistics.search_space import label
from analysis.tables.table import Column, Table
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import FAILED, METRIC, PARAM

SCORES = ("val/psnr", "val/ssim")


VERDICT = 2  # sentences above the figure: what was reached, and whether it beats the reference


def section(
    results: StudyResults,
    headline: tuple[str, ...],
    confirmed: tuple[KeyNumber, ...] = (),
    message: Plot | None = None,
) -> Section:
    """The top of a chapter: verdict, figure, numbers, the rest of the sentences, warnings.

    `headline`, `confirmed` and `message` are the comparison's.
    """
    blocks: list[Block] = [Prose(text, "lead") for text in headline[:VERDICT]]
    blocks += [Plots((message,), wide=True)] if message else []
    blocks.append(KeyNumbers(tuple(key_numbers(results, confirmed))))
    blocks += [Prose(text, "lead") for text in headline[VERDICT:]]
    blocks += [Prose(text, "notice") for text in warnings(results)]
    return Section("overview", "", tuple(blocks))


def key_numbers(results: StudyResults, confirmed: tuple[KeyNumber, ...] = ()) -> list[KeyNumber]:
    """The winner's scores, as `confirmed` if they are, then what was spent."""
    numbers = [*confirmed] or _winner_numbers(results)
    counts = f"{results.count('finished')} finished, {results.count('pruned')} pruned"
    if failed := results.count(*FAILED):
        counts += f", {failed} failed"
    if running := results.count("running"):
        counts += f", {running} running"
    if repeated := len(results.trials) - len(results.search):
        counts += f"; {repeated} more to confirm"
    numbers.append(KeyNumber("trials", f"{len(results.trials):,}", counts))
    numbers.append(KeyNumber("epochs", f"{total_epochs(results.trials):,}", _saved(results)))
    hours, what = compute_hours(results.trials)
    if hours:
        note = "training of all these trials, from their last epoch's time"
        numbers.append(KeyNumber(what, _hours(hours), note))
    return numbers


def _winner_numbers(results: StudyResults) -> list[KeyNumber]:
    winner = results.winner
    if winner is None:
        return [KeyNumber("best trial", "none yet", "no trial has finished")]
    columns = dict.fromkeys([results.objective.column, *(METRIC + name for name in SCORES)])
    numbers = []
    for column in columns:
        if column in winner and pd.notna(winner[column]):
            measure = quantity(column.removeprefix(METRIC))
            value = measure.with_unit(winner[column])
            numbers.append(KeyNumber(f"best {measure.label}", value, _against(results, column)))
    return numbers


def _against(results: StudyResults, column: str) -> str:
    """Whose score it is, and how far from the reference's."""
    winner, reference = results.winner, results.reference
    measure = quantity(column.removeprefix(METRIC))
    assert winner is not None
    if reference is None or measure.direction is None or pd.isna(reference.get(column)):
        return f"trial {winner['trial']}"
    if reference["trial"] == winner["trial"]:
        return f"trial {winner['trial']}, the reference itself"
    gap = sign(measure.direction) * (winner[column] - reference[column])
    size = measure.with_unit(abs(gap))
    return f"trial {winner['trial']}, {size} {'better' if gap >= 0 else 'worse'} than the reference"


def total_epochs(trials: pd.DataFrame) -> int:
    """Epochs that were trained."""
    return int(trials["trained"].fillna(0).sum())


def _saved(results: StudyResults) -> str:
    """What pruning spared, in words; nothing where it spared nothing."""
    search = results.search
    replaced = search["trial"].isin(search["instead_of"])  # an heir trained the rest
    pruned = search[(search["status"] == "pruned") & ~replaced]
    column = PARAM + "epochs"
    if pruned.empty or column not in pruned:
        return ""
    spared = pd.to_numeric(pruned[column], errors="coerce").sub(pruned["epochs"].astype(float))
    return f"{int(spared.clip(lower=0).sum()):,} spared by pruning"


def compute_hours(trials: pd.DataFrame) -> tuple[float, str]:
    """Hours of training and of what; each trial's epochs times the seconds of its last one."""
    column = METRIC + "time/epoch_s"
    if column not in trials:
        return 0.0, "CPU-hours"
    seconds = trials[column] * trials["trained"].astype(float)
    if (trials["device"] == "cuda").any():
        return float(seconds.sum()) / 3600, "trial-hours on the GPU"
    threads = pd.to_numeric(trials.get(PARAM + "threads", pd.Series(1, trials.index)))
    return float((seconds * threads).sum()) / 3600, "CPU-hours"


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:,.0f}"


def warnings(results: StudyResults) -> list[str]:
    """What a reader must know before believing anything."""
    sentences = list(results.notes)
    if running := results.count("running"):
        sentences.append(
            f"The study is not over: {running} trials are running. All of this may change."
        )
    if results.winner is None:
        sentences.append("No trial has finished, so there is no winner and nothing to compare.")
    if results.foreign_runs:
        sentences.append(
            f"{results.foreign_runs} runs in this experiment are no trials of this study; they are "
            "left out."
        )
    return sentences


def spent_section(results: StudyResults) -> Section:
    """Search space and budget in full."""
    blocks: list[Block] = [Facts(tuple(spent(results)))]
    if table := space_table(results):
        blocks.append(TableBlock(table, "search_space"))
    return Section("searched", "What was searched and spent", tuple(blocks))


def spent(results: StudyResults) -> list[tuple[str, str]]:
    """Names and values."""
    trials = results.trials
    settings: dict[str, Any] = dict(results.info.get("settings", {}))
    goals = ", ".join(f"{o.direction} {quantity(o.metric).header}" for o in results.objectives)
    status = results.search["status"].value_counts()
    facts = [
        ("objective", goals),
        ("trials", ", ".join(f"{n:,} {str(name).replace('_', ' ')}" for name, n in status.items())),
        ("epochs trained", f"{total_epochs(trials):,} in all"),
    ]
    extra = len(trials) - len(results.search)
    if extra:
        facts.append(("confirmation", f"{extra} further runs on fresh seeds"))
    shown = ("sampler", "scheduler", "seeds", "dataset")
    facts += [(name, str(settings[name])) for name in shown if settings.get(name) is not None]
    return facts + _times(trials)


def _times(trials: pd.DataFrame) -> list[tuple[str, str]]:
    start, end = trials["started"].min(), trials["ended"].max()
    if pd.isna(start):
        return []
    facts = [("first trial began", f"{start:%Y-%m-%d %H:%M} UTC")]
    if not pd.isna(end):
        facts.append(("last trial ended", f"{end:%Y-%m-%d %H:%M} UTC"))
        facts.append(("from first to last", str((end - start).round("s")).replace("0 days ", "")))
    hours, what = compute_hours(trials)
    return [*facts, (what, format_number(hours, ".2f"))] if hours else facts


def space_table(results: StudyResults) -> Table | None:
    """Each searched parameter: its range, and what the winner and the reference have."""
    if not results.varied:
        return None
    dimensions = {dimension.name: dimension for dimension in results.space}
    rows = [
        {
            "parameter": name,
            "range": dimensions[name].range_text if name in dimensions else "varies",
            "winner": _value(results.winner, name),
            "reference": _value(results.reference, name),
        }
        for name in results.varied
    ]
    columns = (
        Column("parameter", "parameter"),
        Column("range", "searched"),
        Column("winner", "winner"),
        Column("reference", "reference"),
    )
    return Table(columns, pd.DataFrame(rows), "Search space")


def _value(trial: pd.Series[Any] | None, name: str) -> str:
    if trial is None or PARAM + name not in trial:
        return MISSING
    value = trial[PARAM + name]
    return f"{value:.4g}" if isinstance(value, float) else label(value)
