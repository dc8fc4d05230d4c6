"""What a confirmation has come to, in one sentence for console and tracker: counted, not tested.

Intervals, tests and corrections are the report's, which reads the tracker.
"""

from __future__ import annotations

from statistics import fmean

from studies.definition import tested
from studies.ledger.ledger import Ledger, LedgerTrial
from studies.runner.planning import Plan, ranking

Scores = dict[int, float]


def sentence(plan: Plan, ledger: Ledger) -> str:
    """The winner's and the reference's mean on test images over the seeds that both finished.

    Empty where nothing was confirmed, or the reference is the winner itself.
    """
    objective, ranked = plan.objectives[0], ranking(plan, ledger)
    if not ranked or ranked[0].reference:
        return ""
    winner = ranked[0]
    repeats = [t for t in ledger.trials.values() if t.phase == "confirm" and t.status == "finished"]
    ours = _scores([t for t in repeats if t.like == winner.key], tested(objective.metric))
    theirs = _scores([t for t in repeats if t.reference], tested(objective.metric))
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return ""
    sign = 1 if objective.direction == "maximize" else -1
    ahead = sum(sign * (ours[seed] - theirs[seed]) > 0 for seed in seeds)
    mine, others = (fmean(scores[seed] for seed in seeds) for scores in (ours, theirs))
    side = "better" if sign * (mine - others) > 0 else "not better"
    return (
        f"trial {winner.key} has {tested(objective.metric)} {mine:.5g} on fresh seeds, the "
        f"reference {others:.5g}: {side} on average, better on {ahead} of {len(seeds)} seeds"
    )


def _scores(trials: list[LedgerTrial], metric: str) -> Scores:
    """The last epoch's value by seed, of those that have one."""
    return {t.config.seed: t.last[metric] for t in trials if metric in t.last}
