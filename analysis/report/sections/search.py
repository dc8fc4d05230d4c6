"""How the search went: learning curves, parallel coordinates, slices, importance, Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from analysis.figures import curves, fronts, importances, interactions, parallel, rate, slices
from analysis.report.page import Block, ParallelPlot, Plots, Prose, Section, TableBlock
from analysis.statistics.effects import Effect, Interaction, interaction, marginal_effect
from analysis.statistics.importance import PED_ANOVA_TRIALS, PRUNED, Importance, importance
from analysis.statistics.quantities import quantity
from analysis.statistics.ranking import FINISHED
from analysis.tables import findings as finding_tables
from analysis.tracker import runs
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import METRIC, PARAM

CURVES = ("val/psnr", "val/neg_elbo", "val/kl", "train/supcon")
MOST_CURVES = 6
MOST_SLICES = 16


def learning_curves(results: StudyResults) -> Section | None:
    """Curves of the objectives and of what explains them."""
    rows = curves.choose(results)
    objectives = [objective.metric for objective in results.objectives]
    own = map("val/{}".format, results.own_metrics)
    candidates = dict.fromkeys([*objectives, *own, *CURVES])
    metrics = [name for name in candidates if _tells(rows, name)][:MOST_CURVES]
    if rows.empty or not metrics:
        return None
    history = runs.histories(rows["run_id"], metrics, tracker=results.tracker)
    panels = [curves.info(results, rows, history, metric) for metric in metrics]
    panels = [panel for panel in panels if panel.curves]
    if not panels:
        return None
    text = "Validation after each epoch."
    if len(rows) < panels[0].total:
        text = (
            f"Shown are {len(rows)} of {panels[0].total:,} trials: the best, the reference, and a "
            "fixed random draw of pruned and other ones."
        )
    text += (
        " The view is cut to where finished trials end up; double-click a plot to see all of it. A "
        "click on a point picks its trial in all charts, and shows what to do with it."
    )
    plots = tuple(curves.plot(panel) for panel in panels)
    return Section("curves", "Learning curves", (Prose(text), Plots(plots, legend=curves.legend())))


def _tells(trials: pd.DataFrame, metric: str) -> bool:
    """Whether a metric was logged and is not the same for all (the KL of autoencoders)."""
    column = METRIC + metric
    return column in trials and trials[column].nunique() > 1


def parameters(results: StudyResults) -> Section | None:
    """What the parameters did to the objective."""
    if results.ranked.empty or not results.varied:
        return None
    judgement = judge(results)
    order = [parameter.name for parameter in judgement.parameters] if judgement else None
    blocks: list[Block] = []
    if lines := parallel.info(results, order):
        blocks += _parallel(lines)
    if judgement:
        blocks += [*_importance(results, judgement), *_early(results)]
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
        "line by a click or from the list, and it is picked in all charts; drag along an axis to "
        "keep only the lines through it."
    )
    if lines.without_axis:
        text += f" No room for an axis of {', '.join(lines.without_axis)}."
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


def _importance(results: StudyResults, judgement: Importance) -> list[Block]:
    blocks: list[Block] = [Prose(text, "notice") for text in judgement.warnings]
    if importances.known(judgement) is None:
        return blocks
    blocks += [
        Plots((importances.plot(judgement),), wide=True, legend=importances.legend()),
        TableBlock(finding_tables.importance_table(judgement), "importance", note=False),
    ]
    if both := _interaction(results, judgement):
        blocks.append(Plots((interactions.plot(both, results.objective.direction),)))
    return blocks


def early(results: StudyResults) -> tuple[int, Importance] | None:
    """Importance for the first objective after the epoch that every ended trial has reached.

    Pruned trials have a score there too. Beside it that epoch; None where none was pruned, or it
    is the epoch at which all ended anyway.
    """
    metric, trials = results.objective.metric, results.search
    pruned = trials[trials["status"] == PRUNED]
    if pruned.empty or not results.distributions or results.objective.column not in trials:
        return None
    rung = int(pruned["epochs"].min())
    reached = trials[trials["status"].isin([PRUNED, FINISHED]) & (trials["epochs"] >= rung)]
    if rung < 1 or (reached["epochs"] == rung).all():
        return None
    if len(reached) > PED_ANOVA_TRIALS:
        reached = reached.sample(PED_ANOVA_TRIALS, random_state=0).sort_index()
    history = runs.histories(reached["run_id"], [metric], tracker=results.tracker)
    then = history[history["epoch"] == rung].set_index("run_id")["value"]
    frame = results.for_statistics().loc[reached.index]
    frame[metric] = reached["run_id"].map(then).to_numpy(dtype=float)
    frame["status"] = FINISHED
    direction = results.objective.direction
    return rung, importance(frame, metric, direction, results.distributions)


def _early(results: StudyResults) -> list[Block]:
    judged = early(results)
    if judged is None or importances.known(judged[1]) is None:
        return []
    rung, judgement = judged
    text = (
        f"The same after epoch {rung}, which {judgement.trials} trials have reached, pruned ones "
        "too: what makes a trial bad from the start. It is not what decides among the good, and "
        "a β that is still rising flatters."
    )
    plot = replace(
        importances.plot(judgement), name="importance_early", title=f"After epoch {rung}"
    )
    table = finding_tables.importance_table(judgement)
    return [
        Prose(text),
        Plots((plot,), wide=True),
        TableBlock(
            replace(table, caption=f"{table.caption}, after epoch {rung}"), "importance_early"
        ),
    ]


def _interaction(results: StudyResults, judgement: Importance) -> Interaction | None:
    if len(judgement.parameters) < 2:
        return None
    first, second = (parameter.name for parameter in judgement.parameters[:2])
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


def rate_distortion(results: StudyResults) -> Section | None:
    """KL against reconstruction of all trials; None for a study without a KL."""
    plane = rate.info(results)
    if plane is None:
        return None
    text = (
        "What the codes cost against what is lost, on validation images after a trial's last "
        "epoch: down and left is better, and β says what a nat of one was worth of the other. "
        "Discs have finished, rings were pruned early. −ELBO is the sum of both axes."
    )
    likelihood = PARAM + "likelihood"
    if likelihood in results.search and results.search[likelihood].nunique() > 1:
        text += " Reconstruction losses of different likelihoods are different quantities."
    return Section(
        "rate", "Rate and distortion", (Prose(text), Plots((rate.plot(plane),), wide=True))
    )


def pareto(results: StudyResults) -> Section | None:
    """The front of two or more objectives."""
    front = fronts.info(results)
    if front is None:
        return None
    keys = dict(zip(results.ranked.index.map(str), results.ranked["trial"], strict=True))
    table = finding_tables.pareto_table(front.front, names=keys)
    text = (
        "No finished trial beats those on the front in every objective; the line bounds what they "
        "beat. With one seed each, membership of near neighbours is partly luck: a confirmation "
        "retrains members of it, both its ends among them. Elsewhere on this page trials are "
        f"ranked by the first objective, {quantity(results.objective.metric).header}."
    )
    blocks: tuple[Block, ...] = (
        Prose(text),
        Plots((fronts.plot(front),), wide=True),
        TableBlock(table, "pareto_front"),
    )
    return Section("pareto", "Pareto front", blocks)
