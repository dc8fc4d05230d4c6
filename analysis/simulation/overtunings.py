"""How far estimates of overtuning lie from the truth, which simulated studies know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.simulation.studies import StudySpec, simulate
from analysis.statistics.overtuning import overtuning
from analysis.statistics.quantities import sign
from analysis.tables.table import Column, Table


@dataclass(frozen=True)
class OvertuningFigures:
    """Of `simulations` studies; everything in dB but for shares.

    against_first, bias_against_first: the winner's true distance to the default on average, and
    how far its estimate lies from it; `error` is the standard error of that bias. truth: true
    overtuning among the confirmed; bias_lower, bias_upper: of its two estimates. below: share of
    studies that end truly below the default; claimed: said so at the 5 % level; false: among
    those that do not.
    """

    simulations: int
    against_first: float
    bias_against_first: float
    error: float
    truth: float
    bias_lower: float
    bias_upper: float
    below: float
    claimed: float
    false: float


def measure_overtuning(spec: StudySpec, simulations: int, *, seed: int = 0) -> OvertuningFigures:
    """Studies whose default, configuration 0, is confirmed beside the best of the search."""
    rng = np.random.default_rng(seed)
    rows = [row for _ in range(simulations) if (row := _one(spec, rng)) is not None]
    truth, lower, upper, first, estimate, claims = np.array(rows).T
    errors = estimate - first
    level = first <= 0
    return OvertuningFigures(
        len(rows),
        float(first.mean()),
        float(errors.mean()),
        float(errors.std(ddof=1) / np.sqrt(len(rows))),
        float(truth.mean()),
        float((lower - truth).mean()),
        float((upper - truth).mean()),
        float((~level).mean()),
        float(claims.mean()),
        float(claims[level].mean()) if level.any() else 0.0,
    )


def _one(spec: StudySpec, rng: np.random.Generator) -> tuple[float, ...] | None:
    """True overtuning and estimates, true distance to the default, estimate, claim."""
    study = simulate(spec, rng)
    scores: dict[str, dict[int, float]] = {}
    for name, number, value in zip(
        *(study.frame[c] for c in ("configuration", "seed", "value")), strict=True
    ):
        scores.setdefault(str(name), {})[int(number)] = float(value)
    ranked = sorted(
        study.search_scores, key=lambda n: sign(spec.direction) * study.search_scores[n]
    )
    incumbents = [study.reference, *(name for name in ranked if name != study.reference)]
    if ranked[-1] == study.reference:  # the search found nothing better: its default stays
        return None
    measured = overtuning(incumbents, scores, spec.direction)
    if measured is None:
        return None
    cost = {name: -sign(spec.direction) * value for name, value in study.truth.items()}
    winner = cost[measured.incumbents[-1]]
    return (
        winner - min(cost[name] for name in measured.incumbents),
        measured.lower,
        measured.upper,
        winner - cost[study.reference],
        measured.against_first.mean,
        float(measured.ended_below_first),
    )


OVERTUNING_SCENARIOS: dict[str, StudySpec] = {
    "as usual": StudySpec(),
    "no configuration is better": StudySpec(spread=0.0),
    "little to gain": StudySpec(spread=0.05),
    "little to gain, 10 seeds": StudySpec(spread=0.05, confirm_seeds=10),
    "heavy tails": StudySpec(spread=0.1, noise="heavy"),
    "smaller is better": StudySpec(spread=0.1, direction="minimize"),
}


def overtuning_table(figures: dict[str, OvertuningFigures]) -> Table:
    """The figures of several kinds of studies."""
    shares = ("below", "claimed", "false")
    rows = [
        {"scenario": name}
        | {key: value * (100 if key in shares else 1) for key, value in vars(row).items()}
        for name, row in figures.items()
    ]
    columns = (
        Column("scenario", "Overtuning"),
        Column("simulations", "studies", spec="d"),
        Column("against_first", "winner − default, true", "dB", spec=".3f"),
        Column("bias_against_first", "bias of its estimate", "dB", spec=".4f"),
        Column("error", "standard error of that", "dB", spec=".4f"),
        Column("truth", "overtuning, true", "dB", spec=".3f"),
        Column("bias_lower", "bias, by seeds crossed", "dB", spec=".3f"),
        Column("bias_upper", "bias, by the least mean", "dB", spec=".3f"),
        Column("below", "ends below its default", "%", spec=".1f"),
        Column("claimed", "said so", "%", spec=".1f"),
        Column("false", "said so, not true", "%", spec=".1f"),
    )
    return Table(columns, pd.DataFrame(rows))
