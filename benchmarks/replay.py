"""A search without training: the runner's own plan, ledger, desk and rules; curves from a model.

Two workers take an epoch each in random turns, as they would on two cores, until so many epochs are
used up. The clock is epochs of all trials together, those of ended ones included.
"""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.curve_model import CurveModel, Parameters
from studies.ledger.journal import Journal
from studies.ledger.ledger import Ledger, LedgerTrial
from studies.runner import planning
from studies.runner.planning import Plan
from studies.scheduling.desk import Desk, Limits
from studies.scheduling.pruning import Comparison, EndingRule, comparable
from vae_trainables.training.session import Outcome, Record

WORKERS = 2
ENDLESS = 10**6  # trials to ask for: a replay ends by its epochs
Floats = NDArray[np.float64]
MakeSampler = Callable[[Plan], optuna.samplers.BaseSampler]


def own_sampler(plan: Plan) -> optuna.samplers.BaseSampler:
    """The runner's own for the plan's settings."""
    return plan.sampler()


def with_seed(plan: Plan, seed: int) -> Plan:
    """The same plan on another seed, without trying its space again."""
    reference = plan.reference.model_copy(update={"seed": seed})
    return replace(plan, settings=replace(plan.settings, seed=seed), reference=reference)


class NoDisk(Journal):
    """A ledger's file that waits for no disk: no machine crashes here."""

    def commit(self) -> None:
        """Nothing to make durable."""


class _Silence:
    """A tracker that is told everything and keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@dataclass
class Replayed:
    """What a search came to.

    best: `(epochs,)`, the mean curve's last value of the configuration that the search would name
        after each epoch, by what it saw of finished trials; infinite before the first.
    """

    best: Floats
    finished: int
    pruned: int


@dataclass
class Replay:
    """One search of `epochs` epochs by a plan."""

    plan: Plan
    model: CurveModel
    epochs: int
    make_sampler: MakeSampler = own_sampler
    compared: Comparison = comparable
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.plan.settings.seed)

    def run(self) -> Replayed:
        """Search until the epochs are used up."""
        plan = self.plan
        with tempfile.TemporaryDirectory(prefix="vae-replay-") as scratch:
            ledger = Ledger(Path(scratch) / "study", plan.name)
            ledger.journal.__class__ = NoDisk
            try:
                ledger.create(plan.goal, {})
                ledger.use_sampler(self.make_sampler(plan))
                return self._search(plan, ledger, Path(scratch))
            finally:
                ledger.close()

    def _search(self, plan: Plan, ledger: Ledger, folder: Path) -> Replayed:
        desk = _desk(plan, ledger, folder, plan.pruner(), self.compared)
        busy: list[LedgerTrial] = []
        best = np.full(self.epochs, math.inf)
        seen, named = math.inf, math.inf  # of the best finished trial: observed, and in truth
        for epoch in range(self.epochs):
            while len(busy) < WORKERS and (trial := desk.next()) is not None:
                desk.started(trial)
                busy.append(trial)
            trial = busy.pop(self.chance.randrange(len(busy)))
            parameters = parameters_of(ledger, trial)
            record = self._record(plan, trial, parameters)
            if not desk.report(trial, record):
                busy.append(trial)
            elif trial.values is not None and trial.values[0] < seen:
                seen, named = trial.values[0], float(self.model.curve(parameters)[-1])
            best[epoch] = named
        statuses = [trial.status for trial in ledger.trials.values()]
        return Replayed(best, statuses.count("finished"), statuses.count("pruned"))

    def _record(self, plan: Plan, trial: LedgerTrial, parameters: Parameters) -> Record:
        epoch = len(trial.reports) + 1
        value = float(self.model.trained(parameters, trial.config.seed)[epoch - 1])
        outcome: Outcome = "finished" if epoch == trial.config.budget.epochs else "running"
        return Record(epoch, outcome, "", epoch, {plan.objectives[0].metric: value})


def parameters_of(ledger: Ledger, trial: LedgerTrial) -> Parameters:
    """What the sampler chose for a trial."""
    return ledger.shown()[trial.number].params


def _desk(
    plan: Plan, ledger: Ledger, folder: Path, pruner: EndingRule | None, compared: Comparison
) -> Desk:
    return Desk(
        ledger,
        _Silence(),  # type: ignore[arg-type]
        folder=folder,
        source=planning.search_source(plan, ledger),
        objectives=plan.objectives,
        prune_on=plan.definition.prune_on,
        pruner=pruner,
        limits=Limits(failures_in_a_row=ENDLESS),
        tags={},
        backlog=[],
        comparison=compared,
    )
