"""How the search went: learning curves, parallel coordinates, slices, importance, Pareto front."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.figures import curves, fronts, importances, interactions, parallel, slices
from analysis.report.page import Block, ParallelPlot, Plots, Prose, Section, TableBlock
from analysis.statistics.effects import Effect, Interaction, interaction, marginal_effect
from analysis.statistics.importance import Importance, importance
from analysis.statistics.quantities import quantity
from analysis.tables import findings as finding_tables
from analysis.tracker import runs
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import METRIC

CURVES = ("val/psnr", "val/neg_elbo", "val/kl", "train/supcon")
MOST_CURVES = 6
MOST_SLICES = 16


def learning_curves(results: StudyResults) -> Section | None:
    """Curves of the objectives and of what explains them."""
    chosen = curves.choose(results)
    wanted = dict.fromkeys([*(each.metric for each in results.objectives), *CURVES])
    metrics = [name for name in wanted if _tells(chosen, name)][:MOST_CURVES]
    if chosen.empty or not metrics:
        return None
    history = runs.histories(chosen["run_id"], metrics, tracker=results.tracker)
    found = [curves.info(results, chosen, history, metric) for metric in metrics]
    found = [each for each in found if each.curves]
    if not found:
        return None
    text = "Validation after each epoch."
    if len(chosen) < found[0].total:
        text = (
            f"Shown are {len(chosen)} of {found[0].total:,} trials: the best, the reference, and a "
            "fixed random draw of pruned and other ones."
        )
    text += (
        " The view is cut to where finished trials end up; double-click a plot to see all of it."
    )
    plots = tuple(curves.plot(each) for each in found)
    return Section("curves", "Learning curves", (Prose(text), Plots(plots, legend=curves.legend())))


def _tells(trials: pd.DataFrame, metric: str) -> bool:
    """Whether a metric was logged and is not the same for all (the KL of autoencoders)."""
    column = METRIC + metric
    return column in trials and trials[column].nunique() > 1


def parameters(results: StudyResults) -> Section | None:
    """What the parameters did to the objective."""
    if results.ranked.empty or not results.varied:
        return None
    found = judge(results)
    order = [each.name for each in found.parameters] if found else None
    blocks: list[Block] = []
    if lines := parallel.info(results, order):
        blocks += _parallel(lines)
    if found:
        blocks += _importance(results, found)
    names = (order or list(results.varied))[:MOST_SLICES]
    effects = _effects(results, names if results.distributions else [])
    text = (
        f"{quantity(results.objective.metric).header} against each parameter: finished and pruned "
        "trials, and the median of the finished ones with its 95 % interval. The sampler varies "
        "the other parameters along, so a slope need not be this parameter's doing."
    )
    plots = tuple(slices.plot(slices.info(results, name, effects.get(name))) for name in names)
    blocks += [Prose(text), Plots(plots, legend=slices.legend())]
    return Section("parameters", "What the parameters did", tuple(blocks))


def _parallel(lines: parallel.Parallel) -> list[Block]:
    cut = "" if lines.shown == lines.total else (
        f"Shown are {lines.shown} of {lines.total:,} finished trials: the best half of them and a "
        "fixed random draw of the others. "
    )  # fmt: skip
    text = (
        f"{cut}Each line is a finished trial, red for the best; better scores lie higher. Pick a "
        "line by a click or from the list; drag along an axis to keep only the lines through it."
    )
    return [Prose(text), ParallelPlot(parallel.plot(lines))]


def judge(results: StudyResults) -> Importance | None:
    """Importances for the first objective; None without a known search space."""
    metric = results.objective.metric
    frame = results.for_statistics()
    if not results.distributions or metric not in frame:
        return None
    return importance(
        frame, metric, results.objective.direction, results.distributions, budget="budget"
    )


def _importance(results: StudyResults, found: Importance) -> list[Block]:
    blocks: list[Block] = [Prose(text, "notice") for text in found.warnings]
    if importances.known(found) is None:
        return blocks
    blocks += [
        Plots((importances.plot(found),), wide=True, legend=importances.legend()),
        TableBlock(finding_tables.importance_table(found), "importance", note=False),
    ]
    if both := _interaction(results, found):
        blocks.append(Plots((interactions.plot(both, results.objective.direction),)))
    return blocks


def _interaction(results: StudyResults, found: Importance) -> Interaction | None:
    if len(found.parameters) < 2:
        return None
    first, second = (each.name for each in found.parameters[:2])
    metric = results.objective.metric
    both = interaction(
        results.for_statistics(), first, second, metric, results.distributions, budget="budget"
    )
    return both if any(map(any, both.counts)) else None


def _effects(results: StudyResults, names: list[str]) -> Mapping[str, Effect]:
    frame, metric = results.for_statistics(), results.objective.metric
    if metric not in frame:
        return {}
    return {
        name: marginal_effect(frame, name, metric, results.distributions, budget="budget")
        for name in names
    }


def pareto(results: StudyResults) -> Section | None:
    """The front of two or more objectives."""
    found = fronts.info(results)
    if found is None:
        return None
    keys = dict(zip(results.ranked.index.map(str), results.ranked["trial"], strict=True))
    table = finding_tables.pareto_table(found.front, names=keys)
    text = (
        "No finished trial beats those on the front in every objective. With one seed each, "
        "membership of near neighbours is partly luck. Elsewhere on this page trials are ranked by "
        f"the first objective, {quantity(results.objective.metric).header}."
    )
    blocks: tuple[Block, ...] = (
        Prose(text),
        Plots((fronts.plot(found),), wide=True),
        TableBlock(table, "pareto_front"),
    )
    return Section("pareto", "Pareto front", blocks)
