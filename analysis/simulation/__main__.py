"""`python -m analysis.simulation`: the figures of all simulations as tables."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from analysis.simulation.confirmations import SCENARIOS, figures_table, measure
from analysis.simulation.importances import (
    SEARCHES,
    SearchSpec,
    importance_table,
    measure_importance,
)
from analysis.simulation.optimism import OPTIMISM_SCENARIOS, measure_optimism, optimism_table
from analysis.simulation.overtunings import (
    OVERTUNING_SCENARIOS,
    measure_overtuning,
    overtuning_table,
)

_LONGER = 5  # times as many simulations for shares that must hold within a point
_FEWER = 5


class Subject(StrEnum):
    """What is simulated."""

    CONFIRMATION = "confirmation"
    OPTIMISM = "optimism"
    OVERTUNING = "overtuning"
    IMPORTANCE = "importance"


def main(
    simulations: Annotated[int, typer.Option(min=2, help="Studies for each scenario.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 0,
    only: Annotated[Subject | None, typer.Option(help="One of the tables; default: all.")] = None,
) -> None:
    """Print how often confirmation, optimism, overtuning and importance say what is not so."""
    for subject in [only] if only else list(Subject):
        typer.echo(_table(subject, simulations, seed))


def _table(subject: Subject, simulations: int, seed: int) -> str:
    if subject is Subject.CONFIRMATION:
        figures = {name: measure(spec, simulations, seed=seed) for name, spec in SCENARIOS.items()}
        return figures_table(figures).to_markdown()
    if subject is Subject.OPTIMISM:
        optimism = {
            name: measure_optimism(spec, _LONGER * simulations, picked=simulations, seed=seed)
            for name, spec in OPTIMISM_SCENARIOS.items()
        }
        return optimism_table(optimism).to_markdown()
    if subject is Subject.OVERTUNING:
        overtunings = {
            name: measure_overtuning(spec, simulations, seed=seed)
            for name, spec in OVERTUNING_SCENARIOS.items()
        }
        return overtuning_table(overtunings).to_markdown()
    importances = {
        name: measure_importance(spec, _simulations(spec, simulations), seed=seed)
        for name, spec in SEARCHES.items()
    }
    return importance_table(importances).to_markdown()


def _simulations(spec: SearchSpec, simulations: int) -> int:
    """Fewer where a parameter has influence: a large share needs no such precision."""
    return max(2, simulations // _FEWER) if spec.influence else simulations


if __name__ == "__main__":
    typer.run(main)
