"""How many workers train at a time: no more than there are trials to train and cores to train on.

Each worker imports torch before its first trial. More of them than cores delay one another, more
than trials import for nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from studies.errors import InputError
from studies.ledger.ledger import ENDED, Ledger, Phase
from studies.runner import planning
from studies.runner.cores import usable_cores
from studies.runner.planning import Plan
from studies.runner.settings import ENDLESS, Settings
from studies.tracker.progress import Asked


@dataclass(frozen=True)
class Workers:
    """How many, and what was made of a number that was asked for, "" if it stands."""

    count: int
    remark: str = ""


def workers(settings: Settings, *, cores: int, left: int) -> Workers:
    """Workers for `left` trials on `cores` cores, one per GPU where GPUs are used; at least one.

    cores: of this machine, or of a cluster; `--oversubscribe` does not ask how many there are.
    """
    cpus = min(settings.cpus or cores, cores)
    requested = settings.gpus or max(1, (settings.cpus or cores) // settings.threads)
    by_cores = requested if settings.oversubscribe else max(1, cpus // settings.threads)
    by_trials = max(1, math.ceil(left / (settings.slots or 1)))
    count = min(requested, by_cores, by_trials)
    explicit = settings.gpus or settings.cpus is not None
    if count == requested or not explicit:
        return Workers(count)
    reason = _too_few_trials(left) if by_trials <= by_cores else _too_few_cores(settings, cpus)
    return Workers(count, f"{_counted(count, 'worker')}, not {requested}: {reason}")


def before_start(plan: Plan, cores: int | None = None) -> Workers:
    """What a Ray of our own is started for; raises InputError if not one trial has its cores.

    The ledger is not open yet, so a resumed study counts as a new one. cores: of a cluster; None:
    those of this machine.
    """
    settings = plan.settings
    cores = usable_cores() if cores is None else cores
    if settings.threads > cores and not settings.oversubscribe:
        raise InputError(
            f"--threads is {settings.threads}, but this process may use "
            f"{_counted(cores, 'core')}: give fewer, or insist with --oversubscribe"
        )
    request = Asked.of(vars(settings), plan.reference.budget.epochs, 1 + len(plan.companions))
    searched = int(min(request.trials * request.seeds, _at_once(plan)))
    return workers(settings, cores=cores, left=max(searched, request.fixed_runs))


def trials_left(plan: Plan, ledger: Ledger, phase: Phase) -> int:
    """Trials of a phase that may still be trained: those begun, and those to be planned."""
    waiting = sum(t.phase == phase and t.status not in ENDED for t in ledger.trials.values())
    if phase == "search":
        left = waiting + _to_suggest(plan, ledger) + _further_seeds(plan, ledger)
        return min(left, max(waiting, _at_once(plan)))
    runs = (
        planning.confirmation_runs(plan, ledger)
        if phase == "confirm"
        else planning.reference_runs(plan)
    )
    have = {(t.group, t.config.seed) for t in ledger.trials.values() if t.phase == phase}
    return waiting + sum((config.fingerprint(), config.seed) not in have for config, *_ in runs)


def _to_suggest(plan: Plan, ledger: Ledger) -> int:
    """New configurations, each with all its seeds."""
    return max(0, plan.settings.most_trials - ledger.suggested) * plan.settings.seeds


def _at_once(plan: Plan) -> int:
    """Trials that may run at a time where a budget of epochs must hold all that is begun."""
    budget = plan.settings.search_budget
    if budget is None or budget.epochs is None:
        return ENDLESS
    return budget.epochs // plan.reference.budget.epochs


def _further_seeds(plan: Plan, ledger: Ledger) -> int:
    """Seeds that configurations in the ledger still get, unless they fail or are pruned."""
    return sum(
        max(0, plan.settings.seeds - len(group))
        for group in planning.groups(ledger).values()
        if group[0].status == "finished" or group[0].status not in ENDED
    )


def _too_few_trials(left: int) -> str:
    return f"there {'is' if left == 1 else 'are'} {_counted(left, 'trial')} to train"


def _too_few_cores(settings: Settings, cpus: int) -> str:
    threads = f" at --threads {settings.threads}" if settings.threads > 1 else ""
    return f"{_counted(cpus, 'core')} can be used{threads}; --oversubscribe insists"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
