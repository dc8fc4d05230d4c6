"""Findings as tables: confirmation, comparisons, ranking, importance and the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.statistics.confirmation import Confirmation, Confirmed
from analysis.statistics.importance import Importance
from analysis.statistics.paired import PairedComparison
from analysis.statistics.pareto import ParetoFront
from analysis.statistics.quantities import MISSING, Quantity, format_p, quantity
from analysis.statistics.ranking import Ranking
from analysis.tables.table import Column, Table

Names = Mapping[str, str]


def confirmation_table(
    confirmation: Confirmation, *, names: Names | None = None, metric: Quantity | None = None
) -> Table:
    """Search score, confirmed mean with interval and optimism of every configuration."""
    metric = metric or quantity(confirmation.metric)
    rows = [
        _confirmed_row(configuration, confirmation, names or {})
        for configuration in confirmation.configurations
    ]
    optimism = Quantity("optimism", metric.unit, None, metric.difference().spec)
    columns = (
        Column("name", "Configuration"),
        Column.of(metric, "mean", low="low", high="high"),
        Column("seeds", "seeds", spec="d"),
        Column("search", "search score", metric.unit, spec=metric.spec),
        Column.of(optimism, "optimism", low="optimism_low", high="optimism_high"),
    )
    level = _level(confirmation)
    note = (
        f"Intervals are {level} Student t over seeds that the search has not seen; optimism is how "
        "much better the search score looked. Its interval counts the search score as the draw it "
        "is: where it holds 0, the gap may be chance."
    )
    return Table(columns, pd.DataFrame(rows), "Confirmation on fresh seeds", note)


def _level(confirmation: Confirmation) -> str:
    return f"{100 * confirmation.winner.estimate.confidence:g} %"


def _confirmed_row(
    confirmed: Confirmed, confirmation: Confirmation, names: Names
) -> dict[str, Any]:
    marks = [
        mark
        for mark, applies in (
            ("winner", confirmed is confirmation.winner),
            ("reference", confirmed.configuration == confirmation.reference),
        )
        if applies
    ]
    name = names.get(confirmed.configuration, confirmed.configuration)
    optimism = confirmed.optimism
    total = optimism.total if optimism else None
    return {
        "name": f"{name} ({', '.join(marks)})" if marks else name,
        "mean": confirmed.estimate.mean,
        "low": confirmed.estimate.low,
        "high": confirmed.estimate.high,
        "seeds": confirmed.estimate.n,
        "search": optimism.search_score if optimism else None,
        "optimism": total.mean if total else None,
        "optimism_low": total.low if total else None,
        "optimism_high": total.high if total else None,
    }


def comparison_table(
    confirmation: Confirmation, *, names: Names | None = None, metric: Quantity | None = None
) -> Table:
    """Paired differences to the reference with both tests and the conclusion."""
    label = (metric or quantity(confirmation.metric)).label
    metric = (metric or quantity(confirmation.metric)).difference()
    labels = names or {}
    keys = ("name", "mean", "low", "high", "p_t", "p_holm", "p_sign_flip", "conclusion")
    rows = [_comparison_row(comparison, labels) for comparison in confirmation.comparisons]
    columns = (
        Column("name", "Configuration"),
        Column("mean", f"better in {label} by", metric.unit, None, metric.spec, "low", "high"),
        Column("p_t", "p (paired t)"),
        Column("p_holm", "p (Holm)"),
        Column("p_sign_flip", "p (sign flips)"),
        Column("conclusion", "against the reference"),
    )
    reference = labels.get(confirmation.reference, confirmation.reference)
    note = (
        f"Differences per seed to {reference}, positive where the row is better, with "
        f"{_level(confirmation)} Student t intervals; the conclusion is at the 5 % level "
        "after Holm's correction."
    )
    return Table(columns, pd.DataFrame(rows, columns=list(keys)), "Against the reference", note)


def _comparison_row(comparison: PairedComparison, names: Names) -> dict[str, Any]:
    return {
        "name": names.get(comparison.configuration, comparison.configuration),
        "mean": comparison.advantage.mean,
        "low": comparison.advantage.low,
        "high": comparison.advantage.high,
        "p_t": format_p(comparison.p_t),
        "p_holm": format_p(comparison.p_holm),
        "p_sign_flip": format_p(comparison.p_sign_flip),
        "conclusion": comparison.conclusion,
    }


def ranking_table(
    ranking: Ranking, *, names: Names | None = None, metric: Quantity | None = None
) -> Table:
    """Configurations by their mean over seeds; the note tells how many had no fair mean."""
    metric = metric or quantity(ranking.metric)
    labels = names or {}
    rows = [
        {
            "rank": ranked.rank,
            "name": labels.get(ranked.configuration, ranked.configuration),
            "mean": ranked.estimate.mean,
            "low": ranked.estimate.low,
            "high": ranked.estimate.high,
            "seeds": ranked.estimate.n,
        }
        for ranked in ranking.ranked
    ]
    columns = (
        Column("rank", "Rank", spec="d"),
        Column("name", "Configuration"),
        Column.of(metric, "mean", low="low", high="high"),
        Column("seeds", "seeds", spec="d"),
    )
    count = len(ranking.left_out)
    note = f"Left out, as not all their seeds finished: {count} configurations." if count else ""
    keys = ["rank", "name", "mean", "low", "high", "seeds"]
    return Table(columns, pd.DataFrame(rows, columns=keys), "Ranking by the mean over seeds", note)


def importance_table(importance: Importance) -> Table:
    """Each hyperparameter's share under both methods, with the warnings as the note."""
    rows = [
        (parameter.name, 100 * parameter.ped_anova, 100 * parameter.chance, 100 * parameter.fanova)
        for parameter in importance.parameters
    ]
    columns = (
        Column("name", "Hyperparameter"),
        Column("ped_anova", "PED-ANOVA", "%", spec=".1f"),
        Column("chance", "PED-ANOVA by chance", "%", spec=".1f"),
        Column("fanova", "fANOVA", "%", spec=".1f"),
    )
    label = quantity(importance.metric).label
    return Table(
        columns,
        pd.DataFrame(rows, columns=["name", "ped_anova", "chance", "fanova"]),
        f"What mattered for {label} ({importance.trials} trials)",
        " ".join(importance.warnings),
    )


def pareto_table(front: ParetoFront, *, names: Names | None = None) -> Table:
    """The members of the front; the note gives knee, hypervolume and reference point."""
    labels = names or {}
    quantities = [quantity(metric) for metric, _ in front.objectives]
    titles = {member: labels.get(str(member), str(member)) for member in front.members}
    keys = [metric for metric, _ in front.objectives]
    rows = [
        {"name": titles[member], **dict(zip(keys, values, strict=True))}
        for member, values in zip(front.members, front.values, strict=True)
    ]
    columns = (
        Column("name", "Trial"),
        *(
            Column(metric, measure.label, measure.unit, direction, measure.spec)
            for measure, (metric, direction) in zip(quantities, front.objectives, strict=True)
        ),
    )
    point = ", ".join(
        measure.with_unit(value)
        for measure, value in zip(quantities, front.reference_point, strict=True)
    )
    named = "none" if front.knee is None else titles[front.knee]
    note = (
        f"Knee: {named} ({front.knee_reason}). Hypervolume {front.hypervolume:.4g} up to the "
        f"reference point ({point}: the worst of all trials and a tenth of their range), "
        f"{100 * front.share:.1f} % of the box to the best values."
        if front.members
        else MISSING
    )
    return Table(columns, pd.DataFrame(rows, columns=["name", *keys]), "Pareto front", note)
