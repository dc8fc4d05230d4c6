"""Studies whose truth is known: tables of learning curves, for which no network is trained.

The search prunes and picks by noisy validation scores, and the confirmation draws fresh seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.statistics.confirmation import Confirmation, confirm
from analysis.statistics.intervals import Floats
from analysis.statistics.quantities import Direction, sign

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
            search_seeds=self.spec.search_seeds,
            validation="validation",
        )


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
