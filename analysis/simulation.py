"""Proof by simulation that confirmation keeps its promises, on studies whose truth is known.

A simulated study is a table of learning curves: no network is trained. The search prunes and picks
by noisy validation scores, the confirmation draws fresh seeds, and the findings are compared with
the truth that made them. `python -m analysis.simulation` prints the figures as a table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import typer

from analysis.statistics.confirmation import Confirmation, confirm
from analysis.statistics.intervals import Floats, mean_interval
from analysis.statistics.paired import ALPHA
from analysis.statistics.quantities import Direction, sign
from analysis.tables.table import Column, Table

Noise = Literal["normal", "skewed", "heavy"]

_FIRST_FRESH_SEED = 1000
_KEPT_AT_A_RUNG = 1 / 3


@dataclass(frozen=True)
class StudySpec:
    """How simulated studies are made; scores are like PSNR in dB, larger is better.

    A run scores its configuration's truth plus `shared_std` noise of the seed (the same for all
    configurations), `seed_std` noise of its own, and `measurement_std` of the split it is scored
    on; validation lies `validation_offset` above test. `rungs` are the epochs at which the search
    keeps the better third. With `direction` 'minimize' all scores are mirrored.
    """

    configurations: int = 40
    epochs: int = 20
    rungs: tuple[int, ...] = (4, 10)
    spread: float = 0.3
    seed_std: float = 0.15
    shared_std: float = 0.1
    measurement_std: float = 0.05
    validation_offset: float = 0.2
    noise: Noise = "normal"
    search_seeds: int = 1
    confirm_top: int = 3
    confirm_seeds: int = 5
    direction: Direction = "maximize"


@dataclass(frozen=True, eq=False)
class SimulatedStudy:
    """What `confirm` gets (`frame`, `search_scores`, `reference`), and the `truth` behind it.

    `search_runs` are the search's final scores (configurations, search_seeds), NaN where pruned.
    """

    spec: StudySpec
    frame: pd.DataFrame
    search_scores: dict[str, float]
    reference: str
    truth: dict[str, float]
    search_runs: Floats

    def confirmation(self) -> Confirmation:
        """The findings of the very function that reports use."""
        return confirm(
            self.frame,
            metric="test/psnr",
            direction=self.spec.direction,
            reference=self.reference,
            search_scores=self.search_scores,
            validation="validation",
        )


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


def simulate(spec: StudySpec, rng: np.random.Generator) -> SimulatedStudy:
    """One study: search over learning curves with pruning, then confirmation on fresh seeds.

    Configuration 0 is the reference; it takes part in the search like any other.
    """
    finals = rng.normal(18.0, spec.spread, spec.configurations)
    runs = _search(spec, finals, rng)
    scores = runs.mean(axis=1)
    finished = np.flatnonzero(~np.isnan(scores))
    top = finished[np.argsort(-scores[finished], kind="stable")][: spec.confirm_top]
    confirmed = [*top, *([0] if 0 not in top else [])]
    mirror = sign(spec.direction)
    return SimulatedStudy(
        spec,
        _confirmation_runs(spec, finals, [int(each) for each in confirmed], rng),
        {_name(each): mirror * float(scores[each]) for each in top},
        _name(0),
        {_name(each): mirror * float(finals[each]) for each in confirmed},
        mirror * runs,
    )


def learning_curves(finals: Floats, epochs: int, rng: np.random.Generator) -> Floats:
    """True validation-like curves (configurations, epochs) that end near `finals` and may cross."""
    start = rng.uniform(3.0, 6.0, len(finals))[:, None]
    pace = rng.uniform(1.5, 4.0, len(finals))[:, None]
    return finals[:, None] - start * np.exp(-np.arange(1, epochs + 1) / pace)


def _search(spec: StudySpec, finals: Floats, rng: np.random.Generator) -> Floats:
    """Final noisy validation scores (configurations, search_seeds), NaN where pruned at a rung."""
    curves = learning_curves(finals, spec.epochs, rng) + spec.validation_offset
    shape = (spec.configurations, spec.search_seeds)
    draw = _NOISE[spec.noise]
    luck = spec.seed_std * draw(rng, shape) + spec.shared_std * draw(rng, shape)
    alive = np.arange(spec.configurations)
    for epoch in spec.rungs:
        seen = curves[alive, epoch - 1] + luck[alive].mean(axis=1)
        seen += spec.measurement_std * draw(rng, (len(alive),))
        keep = max(spec.confirm_top, round(len(alive) * _KEPT_AT_A_RUNG))
        alive = alive[np.argsort(-seen)[:keep]]
    runs = np.full(shape, np.nan)
    measured = spec.measurement_std * draw(rng, (len(alive), spec.search_seeds))
    runs[alive] = finals[alive, None] + spec.validation_offset + luck[alive] + measured
    return runs


def _confirmation_runs(
    spec: StudySpec, finals: Floats, chosen: list[int], rng: np.random.Generator
) -> pd.DataFrame:
    draw = _NOISE[spec.noise]
    shape = (len(chosen), spec.confirm_seeds)
    runs = finals[chosen][:, None] + spec.seed_std * draw(rng, shape)
    runs += spec.shared_std * draw(rng, (1, spec.confirm_seeds))
    test = runs + spec.measurement_std * draw(rng, shape)
    validation = runs + spec.validation_offset + spec.measurement_std * draw(rng, shape)
    seeds = _FIRST_FRESH_SEED + np.arange(spec.confirm_seeds)
    mirror = sign(spec.direction)
    return pd.DataFrame(
        {
            "configuration": np.repeat([_name(each) for each in chosen], spec.confirm_seeds),
            "seed": np.tile(seeds, len(chosen)),
            "value": mirror * test.ravel(),
            "validation": mirror * validation.ravel(),
        }
    )


def _name(configuration: int) -> str:
    return f"configuration {configuration}"


Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

# All with mean 0 and deviation 1: exponential has skewness 2, Student's t with 5 has heavy tails.
_NOISE: dict[Noise, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "skewed": lambda rng, shape: 1.0 - rng.standard_exponential(shape),
    "heavy": lambda rng, shape: rng.standard_t(5, shape) * np.sqrt(3 / 5),
}


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
        float(np.mean([each.p_t <= ALPHA for each in found.comparisons])),
        float(np.mean([each.p_sign_flip <= ALPHA for each in found.comparisons])),
        any(each.p_holm <= ALPHA for each in found.comparisons),
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
        | {key: 100 * getattr(each, key) for key in (*percent, *rejected)}
        | {
            key: getattr(each, key)
            for key in ("optimism", "optimism_error", "optimism_standard_error")
        }
        for name, each in figures.items()
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


def main(
    simulations: Annotated[int, typer.Option(min=2, help="Studies for each scenario.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 0,
) -> None:
    """Print coverage, bias and error rates of the confirmation on simulated studies."""
    figures = {name: measure(spec, simulations, seed=seed) for name, spec in SCENARIOS.items()}
    typer.echo(figures_table(figures).to_markdown())


if __name__ == "__main__":
    typer.run(main)
