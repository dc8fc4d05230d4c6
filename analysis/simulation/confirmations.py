"""Whether the confirmation keeps its promises: coverage, bias, error rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.simulation.studies import SimulatedStudy, StudySpec, simulate
from analysis.statistics.intervals import Floats, mean_interval
from analysis.statistics.paired import ALPHA
from analysis.statistics.quantities import sign
from analysis.tables.table import Column, Table


@dataclass(frozen=True)
class SimulationFigures:
    """Shares and means over `simulations` studies.

    `coverage`: how often the winner's 95 % interval holds its true score, `coverage_difference`
    that of its difference to the reference, and `coverage_naive` that of an interval from the
    very seeds that made it the winner (NaN with one search seed). `optimism_error`: mean of
    reported minus true optimism, with its standard error. `rejections`: share of comparisons
    with p < .05 before correction; `family_wise`: share of studies where Holm lets any pass.
    """

    simulations: int
    coverage: float
    coverage_difference: float
    coverage_naive: float
    optimism: float
    optimism_error: float
    optimism_standard_error: float
    rejections: float
    rejections_sign_flip: float
    family_wise: float
    order_held: float


def measure(spec: StudySpec, simulations: int, *, seed: int = 0) -> SimulationFigures:
    """Simulate studies, confirm each, and compare what is reported with the truth."""
    rng = np.random.default_rng(seed)
    seen = [_examine(simulate(spec, rng)) for _ in range(simulations)]
    columns = np.asarray(seen, dtype=np.float64)
    means = [float(each) for each in columns.mean(axis=0)]
    error = columns[:, 4]
    return SimulationFigures(
        simulations,
        coverage=means[0],
        coverage_difference=_mean_of_known(columns[:, 1]),
        coverage_naive=means[2],
        optimism=means[3],
        optimism_error=means[4],
        optimism_standard_error=float(error.std(ddof=1) / np.sqrt(simulations)),
        rejections=means[5],
        rejections_sign_flip=means[6],
        family_wise=means[7],
        order_held=means[8],
    )


def _mean_of_known(values: Floats) -> float:
    """The mean without NaN: a study whose winner is the reference has no difference to cover."""
    return float(values[~np.isnan(values)].mean())


def _examine(study: SimulatedStudy) -> tuple[float, ...]:
    """One study's row of figures, in the order that `measure` reads."""
    found = study.confirmation()
    winner = found.winner
    truth = study.truth[winner.configuration]
    against = found.comparison(winner.configuration)
    covered_difference = np.nan
    if against is not None:
        gap = truth - study.truth[study.reference]
        covered_difference = against.difference.low <= gap <= against.difference.high
    assert winner.optimism is not None, "a winner comes from the search and has its score"
    flattered = sign(study.spec.direction) * (winner.optimism.search_score - truth)
    return (
        winner.estimate.low <= truth <= winner.estimate.high,
        covered_difference,
        _naive_coverage(study, winner.configuration, truth),
        winner.optimism.total.mean,
        winner.optimism.total.mean - flattered,
        float(np.mean([comparison.p_t <= ALPHA for comparison in found.comparisons])),
        float(np.mean([comparison.p_sign_flip <= ALPHA for comparison in found.comparisons])),
        any(comparison.p_holm <= ALPHA for comparison in found.comparisons),
        found.order.held,
    )


def _naive_coverage(study: SimulatedStudy, winner: str, truth: float) -> float:
    """Whether the interval of the search's own seeds holds the winner's true validation score."""
    if study.spec.search_seeds < 2:
        return np.nan
    runs = study.search_runs[int(winner.removeprefix("configuration "))]
    naive = mean_interval(runs)
    offset = sign(study.spec.direction) * study.spec.validation_offset
    return float(naive.low <= truth + offset <= naive.high)


SCENARIOS: dict[str, StudySpec] = {
    "default": StudySpec(),
    "three seeds": StudySpec(confirm_seeds=3),
    "ten seeds": StudySpec(confirm_seeds=10),
    "search over five seeds": StudySpec(search_seeds=5),
    "skewed noise": StudySpec(noise="skewed"),
    "heavy-tailed noise": StudySpec(noise="heavy"),
    "smaller is better": StudySpec(direction="minimize"),
    "no difference": StudySpec(spread=0.0),
    "no difference, skewed noise": StudySpec(spread=0.0, noise="skewed"),
    "no difference, search over five seeds": StudySpec(spread=0.0, search_seeds=5),
    "no difference, ten seeds": StudySpec(spread=0.0, confirm_seeds=10),
}


def figures_table(figures: dict[str, SimulationFigures]) -> Table:
    """The figures of several scenarios side by side, percentages of all simulations."""
    percent = ("coverage", "coverage_difference", "coverage_naive")
    rejected = ("rejections", "rejections_sign_flip", "family_wise", "order_held")
    rows = [
        {"scenario": name}
        | {key: 100 * getattr(figure, key) for key in (*percent, *rejected)}
        | {
            key: getattr(figure, key)
            for key in ("optimism", "optimism_error", "optimism_standard_error")
        }
        for name, figure in figures.items()
    ]
    columns = (
        Column("scenario", "Scenario"),
        Column("coverage", "covers winner", "%", spec=".1f"),
        Column("coverage_difference", "covers difference", "%", spec=".1f"),
        Column("coverage_naive", "naive covers", "%", spec=".1f"),
        Column("optimism", "optimism", "dB", spec=".3f"),
        Column("optimism_error", "its error", "dB", spec=".4f"),
        Column("optimism_standard_error", "standard error", "dB", spec=".4f"),
        Column("rejections", "p < .05, t", "%", spec=".1f"),
        Column("rejections_sign_flip", "p < .05, sign flips", "%", spec=".1f"),
        Column("family_wise", "any after Holm", "%", spec=".1f"),
        Column("order_held", "order held", "%", spec=".1f"),
    )
    return Table(columns, pd.DataFrame(rows))
