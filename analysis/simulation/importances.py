"""How often importance shows an influence where no hyperparameter has any, and where one has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from optuna.distributions import FloatDistribution, distribution_to_json

from analysis.statistics.importance import ped_anova, quiet_optuna, searched_trials
from analysis.statistics.ranking import FINISHED
from analysis.tables.table import Column, Table


@dataclass(frozen=True)
class SearchSpec:
    """A random search over `parameters` of [0, 1]; the first moves the score by `influence` dB.

    All else that moves it is noise with a deviation of 1 dB.
    """

    parameters: int = 10
    trials: int = 40
    influence: float = 0.0


@dataclass(frozen=True)
class ImportanceFigures:
    """Shares of `simulations` studies.

    `claims`: a parameter without influence is above chance; `detected`: the one with
    influence is (NaN where none has any).
    """

    simulations: int
    claims: float
    detected: float


def measure_importance(spec: SearchSpec, simulations: int, *, seed: int = 0) -> ImportanceFigures:
    """Judge searches by the very function that decides in reports."""
    rng = np.random.default_rng(seed)
    influential = "x0" if spec.influence else None
    with quiet_optuna():
        shown = [_above_chance(spec, rng) for _ in range(simulations)]
    return ImportanceFigures(
        simulations,
        claims=float(np.mean([bool(names - {influential}) for names in shown])),
        detected=float(np.mean(["x0" in names for names in shown])) if influential else np.nan,
    )


def _above_chance(spec: SearchSpec, rng: np.random.Generator) -> set[str]:
    names = [f"x{number}" for number in range(spec.parameters)]
    frame = pd.DataFrame(rng.random((spec.trials, spec.parameters)), columns=names)
    frame["loss"] = rng.standard_normal(spec.trials) - spec.influence * frame["x0"]
    frame["status"] = FINISHED
    searched = distribution_to_json(FloatDistribution(0.0, 1.0))
    trials = searched_trials(frame, "loss", dict.fromkeys(names, searched))
    shares, chance = ped_anova(trials, trials.scores, int(rng.integers(2**31)))
    return {name for name, share in shares.items() if share > chance}


SEARCHES: dict[str, SearchSpec] = {
    "10 irrelevant, 40 trials": SearchSpec(),
    "1 of 10 moves the score by 5 deviations, 40 trials": SearchSpec(influence=5.0),
    "the same, 100 trials": SearchSpec(influence=5.0, trials=100),
}


def importance_table(figures: dict[str, ImportanceFigures]) -> Table:
    """The figures of several searches, percentages of all simulations."""
    rows = [
        {"search": name, "claims": 100 * row.claims, "detected": 100 * row.detected}
        for name, row in figures.items()
    ]
    columns = (
        Column("search", "Importance"),
        Column("claims", "any irrelevant above chance", "%", spec=".1f"),
        Column("detected", "the relevant one above chance", "%", spec=".1f"),
    )
    return Table(columns, pd.DataFrame(rows))
