"""How often optimism is claimed where there is none, and whether its interval holds the gap."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.simulation.studies import StudySpec, simulate
from analysis.statistics.confirmation import Optimism
from analysis.statistics.intervals import MeanInterval, student_half_width
from analysis.tables.table import Column, Table


@dataclass(frozen=True)
class OptimismFigures:
    """Shares of `simulations` studies.

    `claims`: optimism called more than chance where one configuration is searched, so that
    nothing is picked, and validation is test; `claims_student`: the same by the interval of the
    confirmed mean alone, which forgets that the search score is a draw. `coverage`: the interval
    holds the true gap where validation lies `validation_offset` above test. `claims_picked`: the
    claim on the best of `configurations`, where optimism is real.
    """

    simulations: int
    claims: float
    claims_student: float
    coverage: float
    claims_picked: float


def measure_optimism(
    spec: StudySpec, simulations: int, *, picked: int | None = None, seed: int = 0
) -> OptimismFigures:
    """False claims of optimism, coverage of its interval, and claims where a search picked.

    `picked` studies are simulated for the last figure (default: as many), which is the slowest.
    """
    alone = replace(spec, configurations=1, confirm_top=1, rungs=())
    level = replace(alone, validation_offset=0.0)
    rng = np.random.default_rng(seed)
    ordinary = [_winners_optimism(level, rng) for _ in range(simulations)]
    shifted = [_winners_optimism(alone, rng) for _ in range(simulations)]
    chosen = [
        _winners_optimism(replace(spec, validation_offset=0.0), rng)
        for _ in range(picked or simulations)
    ]
    gap = spec.validation_offset
    return OptimismFigures(
        simulations,
        claims=_share([optimism.certain for optimism in ordinary]),
        claims_student=_share([_student_claims(optimism.total) for optimism in ordinary]),
        coverage=_share([item.total.low <= gap <= item.total.high for item in shifted]),
        claims_picked=_share([optimism.certain for optimism in chosen]),
    )


def _winners_optimism(spec: StudySpec, rng: np.random.Generator) -> Optimism:
    optimism = simulate(spec, rng).confirmation().winner.optimism
    assert optimism is not None, "a winner comes from the search and has its score"
    return optimism


def _student_claims(total: MeanInterval) -> bool:
    deviations = np.asarray(total.std), np.asarray(total.n)
    half = student_half_width(*deviations, confidence=total.confidence)
    return abs(total.mean) > float(half)


def _share(claims: list[bool]) -> float:
    return float(np.mean(claims))


OPTIMISM_SCENARIOS: dict[str, StudySpec] = {
    "3 seeds": StudySpec(confirm_seeds=3),
    "5 seeds": StudySpec(confirm_seeds=5),
    "10 seeds": StudySpec(confirm_seeds=10),
    "20 seeds": StudySpec(confirm_seeds=20),
    "5 seeds, search over three": StudySpec(confirm_seeds=5, search_seeds=3),
    "5 seeds, smaller is better": StudySpec(confirm_seeds=5, direction="minimize"),
}


def optimism_table(figures: dict[str, OptimismFigures]) -> Table:
    """The figures of several numbers of seeds, percentages of all simulations."""
    keys = ("claims", "claims_student", "coverage", "claims_picked")
    rows = [
        {"scenario": name} | {key: 100 * getattr(row, key) for key in keys}
        for name, row in figures.items()
    ]
    columns = (
        Column("scenario", "Optimism"),
        Column("claims", "claimed, none there", "%", spec=".1f"),
        Column("claims_student", "the same by the mean's interval", "%", spec=".1f"),
        Column("coverage", "covers the gap", "%", spec=".1f"),
        Column("claims_picked", "claimed, best of 40", "%", spec=".1f"),
    )
    return Table(columns, pd.DataFrame(rows))
