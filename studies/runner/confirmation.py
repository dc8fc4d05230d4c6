"""What a confirmation has come to, for console and tracker, by the statistics of the report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from studies.definition import tested
from studies.ledger.ledger import Ledger
from studies.runner.planning import Plan, search_scores

if TYPE_CHECKING:
    from analysis.statistics.confirmation import Confirmation
    from analysis.statistics.intervals import MeanInterval

REFERENCE = "reference"
PREFIX = "verdict/"  # MLflow sorts its charts by it: those of the course, "study/", come first
WORDS = {"better": "better", "worse": "worse", "uncertain": "not certainly different"}


def judged(plan: Plan, ledger: Ledger) -> Confirmation | None:
    """The first objective on test images over fresh seeds; None where nothing was confirmed."""
    objective = plan.objectives[0]
    runs = {
        (REFERENCE if trial.reference else trial.like, trial.config.seed): trial.last.get(
            tested(objective.metric), math.nan
        )
        for trial in ledger.trials.values()
        if trial.phase == "confirm" and trial.status == "finished"
    }
    if not runs:
        return None
    import pandas as pd  # seconds, with what follows: only where there is something to judge

    from analysis.statistics.confirmation import confirm

    searched = search_scores(plan, ledger)
    own = next((trial.key for trial in ledger.trials.values() if trial.reference), "")
    scores = {name: searched.get(own if name == REFERENCE else name) for name, _ in runs}
    rows = [(name, seed, value) for (name, seed), value in runs.items()]
    return confirm(
        pd.DataFrame(rows, columns=["configuration", "seed", "value"]),
        metric=tested(objective.metric),
        direction=objective.direction,
        reference=REFERENCE,
        search_scores={name: score for name, score in scores.items() if score is not None},
        search_seeds=plan.settings.seeds,
    )


def sentence(confirmation: Confirmation) -> str:
    """The winner's and the reference's mean, and whether they differ; "" with nothing to compare.

    That is where the reference is the winner itself, or has not finished any seed.
    """
    winner = confirmation.winner
    against = confirmation.comparison(winner.configuration)
    if against is None or not against.seeds:
        return ""
    reference, lead = _reference(confirmation), against.advantage
    said = (
        f"trial {winner.configuration} has {confirmation.metric} {_spread(winner.estimate)} on "
        f"{winner.estimate.n} fresh seeds, the reference {_spread(reference)}"
    )
    if against.conclusion == "too few seeds":
        return f"{said}; one seed says nothing of the uncertainty"
    return (
        f"{said}: {WORDS[against.conclusion]}, by {_spread(lead)}, p {against.p_holm:.2g} over "
        f"{len(against.seeds)} seeds"
    )


def figures(confirmation: Confirmation) -> dict[str, float]:
    """Means, intervals and p as metrics of the study, by name; what is not defined is left out.

    `better by` is positive where the winner is better, whatever the direction of the metric.
    """
    winner, metric = confirmation.winner, confirmation.metric.replace("/", " ")
    values = {"winner seeds": float(winner.estimate.n)}
    values |= _named(f"winner {metric}", winner.estimate)
    if against := confirmation.comparison(winner.configuration):
        values |= _named(f"reference {metric}", _reference(confirmation))
        values |= _named("winner better by", against.advantage)
        values |= {"p": against.p_t, "p Holm": against.p_holm}
    return {PREFIX + name: value for name, value in values.items() if math.isfinite(value)}


def _reference(confirmation: Confirmation) -> MeanInterval:
    """Its mean over its own seeds; of none, where none has finished."""
    estimates = {c.configuration: c.estimate for c in confirmation.configurations}
    if confirmation.reference in estimates:
        return estimates[confirmation.reference]
    from analysis.statistics.intervals import mean_interval

    return mean_interval([])


def _named(name: str, estimate: MeanInterval) -> dict[str, float]:
    return {name: estimate.mean, f"{name} low": estimate.low, f"{name} high": estimate.high}


def _spread(estimate: MeanInterval) -> str:
    """A mean and its interval."""
    if estimate.n < 2:
        return f"{estimate.mean:.5g}"
    return f"{estimate.mean:.5g} ({estimate.low:.5g} to {estimate.high:.5g})"
