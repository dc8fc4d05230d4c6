"""Whole studies without training: real plan, ledger, desk and pruner; curves from formulas.

Four workers take an epoch each in random turns. Among their trials some diverge, fail, lose their
worker, and now and then the driver is killed: the ledger is opened anew as `--resume` opens it, and
the sessions repeat the epochs that their checkpoints hold.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from studies.definition import StudyDefinition
from studies.ledger.ledger import FAILURES, Ledger, LedgerTrial
from studies.runner import planning, resuming
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings
from studies.runner.spending import Spending
from studies.scheduling.desk import Desk, Limits
from vae_trainables.config import TrialConfig
from vae_trainables.training.session import Outcome, Record

WORKERS = 4
RANGES = {
    "lr": (1e-4, 1e-2),
    "beta": (0.01, 8.0),
    "latent_dim": (2, 128),
    "width": (0.5, 1.5),
    "noise_factor": (0.2, 0.7),
    "supcon_gamma": (0.1, 300.0),
    "supcon_temperature": (0.03, 1.0),
}  # of every study's space; on a logarithmic scale
OPTIMA = {
    "val/mse": {"lr": 0.8, "beta": 0.1, "latent_dim": 0.8, "width": 1.0, "supcon_gamma": 0.3},
    "val/recon": {"lr": 0.7, "beta": 0.1, "latent_dim": 0.9, "width": 0.8, "supcon_gamma": 0.3},
    "val/neg_elbo": {"lr": 0.9, "beta": 0.9, "latent_dim": 0.3, "width": 0.9, "supcon_gamma": 0.1},
    "val/probe": {"lr": 0.2, "beta": 0.3, "latent_dim": 0.7, "width": 0.2, "supcon_gamma": 0.9},
    "val/frechet": {"lr": 0.5, "beta": 0.2, "latent_dim": 0.9, "width": 0.9, "supcon_gamma": 0.2},
}  # where each metric is best, each field between 0 and 1


def position(name: str, value: float) -> float:
    """A field's place within its range, 0 to 1, logarithmic."""
    low, high = RANGES[name]
    clipped = min(max(value, low), high)
    return math.log(clipped / low) / math.log(high / low)


def loss(config: TrialConfig, metric: str, epoch: float) -> float:
    """A bowl around the metric's optimum, reached sooner at larger learning rates."""
    fields = config.model_dump()
    final = 0.05 + sum(
        (position(name, fields[name]) - optimum) ** 2 for name, optimum in OPTIMA[metric].items()
    )
    final += 0.2 * (config.model.kind == "mlp_ae") * (metric == "val/neg_elbo")
    speed = 0.25 + 0.5 * position("lr", config.optimiser.lr)
    return final + (1.5 - 0.1 * (config.seed % 3)) * math.exp(-speed * epoch)


def metrics(config: TrialConfig, epoch: int) -> dict[str, float]:
    """Of every study's objectives; the probe is the better the larger."""
    values = {metric: loss(config, metric, epoch) for metric in OPTIMA}
    return values | {"val/probe": 1.0 - 0.2 * values["val/probe"]}


class NoTracker:
    """A tracker that is told everything and keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@dataclass
class Fate:
    """How often something happens, per trial's epoch; kills of the driver per study."""

    diverged: float = 0.01
    failed: float = 0.01
    lost: float = 0.03
    kills: int = 2
    nan: float = 0.005


CALM = Fate(0, 0, 0, 0, 0)


@dataclass
class Simulation:
    """One study in `folder`, until its last trial."""

    definition: StudyDefinition
    settings: Settings
    folder: Path
    fate: Fate = field(default_factory=Fate)
    said: list[str] = field(default_factory=list)
    ledger: Ledger = field(init=False)
    values: Callable[[TrialConfig, int], Mapping[str, float]] = metrics
    check_resumed: bool = True
    workers: int = WORKERS
    clock: float = 0.0
    """Seconds; an epoch takes one of its worker, and a killed driver is started again next day."""

    def __post_init__(self) -> None:
        self.plan = make_plan(self.definition, self.settings)
        self.chance = random.Random(self.settings.seed)
        self.happened: Counter[str] = Counter()
        self.seen: list[tuple[Any, ...]] = []

    @cached_property
    def resumed(self) -> Plan:
        """The plan of the same command with `--resume`."""
        return make_plan(self.definition, Settings(**vars(self.settings) | {"resume": True}))

    def run(self) -> Ledger:
        """The closed ledger of a study that came to its end."""
        kill_after = self._kills()
        while True:
            with ExitStack() as opened:
                ledger, desk = self._open(opened)
                if self.check_resumed or self.happened["resumed"]:
                    assert looks(ledger) == self.seen, "what a sampler sees survives its driver"
                if self._work(desk, next(kill_after)):
                    return ledger
                self.seen = looks(ledger)
            self.happened["resumed"] += 1
            self.clock += 86_400

    def _kills(self) -> Iterator[float]:
        """After how many epochs each driver dies; the last one does not."""
        for _ in range(self.fate.kills):
            yield self.chance.randint(15, 40)
        while True:
            yield math.inf

    def _open(self, opened: ExitStack) -> tuple[Ledger, Desk]:
        exists = (self.folder / "ledger.journal").exists()
        plan = self.resumed if exists else self.plan
        opening = resuming.open_ledger(plan, self.folder, facts(plan))
        ledger, remarks = opened.enter_context(opening)
        self.said += [remarks] if remarks else []
        ledger.use_sampler(plan.sampler())
        self.spending = Spending(
            ledger,
            epochs=plan.reference.budget.epochs,
            seeds=plan.settings.seeds,
            now=self.clock,
        )
        room = partial(self.spending.has_room, plan.settings.search_budget)
        rule = plan.pruner(ledger.trials)
        desk = Desk(
            ledger,
            NoTracker(),  # type: ignore[arg-type]
            folder=self.folder,
            source=planning.search_source(plan, ledger, room, population=rule),
            objectives=plan.objectives,
            prune_on=plan.definition.prune_on,
            pruner=rule,
            limits=Limits(failures_in_a_row=10**6),
            tags={},
            backlog=list(ledger.open.values()),
        )
        return ledger, desk

    def _work(self, desk: Desk, kill_after: float) -> bool:
        """Until nothing is left to do, or the driver is killed."""
        busy: list[tuple[LedgerTrial, int]] = []
        epochs = 0
        while True:
            while len(busy) < self.workers and (trial := desk.next()) is not None:
                desk.started(trial)
                busy.append((trial, 0))
            if not busy:
                return True
            if epochs >= kill_after:
                return False
            epochs += 1
            self.clock += 1 / len(busy)
            self.spending.tick(self.clock)
            trial, told = busy.pop(self.chance.randrange(len(busy)))
            if self._lost(desk, trial):
                continue
            record = self._epoch(trial, told + 1)
            self.happened["repeated"] += record.epoch in trial.reports
            if not desk.report(trial, record):
                busy.append((trial, told + 1))

    def _lost(self, desk: Desk, trial: LedgerTrial) -> bool:
        if self.chance.random() >= self.fate.lost:
            return False
        self.happened["lost"] += 1
        desk.lost(trial, "worker_lost", "simulated")
        return True

    def _epoch(self, trial: LedgerTrial, epoch: int) -> Record:
        ends: dict[Outcome, float] = {"diverged": self.fate.diverged, "failed": self.fate.failed}
        for end, share in ends.items():
            if self.chance.random() < share:
                return Record(epoch, end, "simulated")
        values = dict(self.values(trial.config.at(epoch), epoch))
        if self.chance.random() < self.fate.nan:
            values[self.chance.choice(sorted(values))] = math.nan
        outcome: Outcome = "finished" if epoch == trial.config.budget.epochs else "running"
        return Record(epoch, outcome, "", epoch, values)


def looks(ledger: Ledger) -> list[tuple[Any, ...]]:
    """All that the sampler sees of the trials."""
    return [
        (t.state, t.values, t.intermediate_values, t.params, t.distributions, t.system_attrs)
        for t in ledger.shown()
    ]


def course(ledger: Ledger) -> list[tuple[Any, ...]]:
    """All that tells one study from another: suggestions, heirs, ends, and every epoch."""
    return [
        (t.key, t.status, t.parent, t.instead_of, t.config.flat(), t.reports, t.values)
        for t in ledger.trials.values()
    ]


def facts(plan: Plan) -> dict[str, Any]:
    """What `resuming.facts` says, of data that does not exist."""
    return {**plan.fingerprint(), "data": [], "code": "", "versions": {}, "kind": ""}


def best(simulation: Simulation, ledger: Ledger) -> float:
    """The search's best value, smaller is better; of several objectives one minus what they cover.

    Of the configurations that a sampler suggested: further seeds are no merit of it.
    """
    objectives = simulation.plan.objectives
    signs = [-1.0 if o.direction == "maximize" else 1.0 for o in objectives]
    points = [
        [sign * value for sign, value in zip(signs, trial.values, strict=True)]
        for trial in ledger.trials.values()
        if trial.values and not trial.extra_seed
    ]
    if not points:
        return math.inf
    if len(objectives) == 1:
        return min(point[0] for point in points)
    draws = random.Random(0)
    corners = [[_box(o.metric, draws.random()) for o in objectives] for _ in range(2000)]
    covered = sum(
        any(all(p <= c for p, c in zip(point, corner, strict=True)) for point in points)
        for corner in corners
    )
    return 1.0 - covered / len(corners)


def _box(metric: str, share: float) -> float:
    """Between the best there is and a middling value."""
    return -0.99 + 0.2 * share if metric == "val/probe" else 0.05 + 0.8 * share


def check_counts(simulation: Simulation, ledger: Ledger, *, grown: bool = False) -> None:
    """Every trial once, every one ended, states that agree, each epoch once.

    grown: from a study of other objectives, which may lack a value.
    """
    trials = [t for t in ledger.trials.values() if t.phase == "search"]
    settings = simulation.settings
    if settings.trials is not None:
        assert sum(t.suggested for t in trials) == settings.trials
    assert [t.number for t in trials] == list(range(len(trials)))
    assert len({(t.group, t.config.seed) for t in trials}) == len(trials)
    assert {t.status for t in trials} <= {"finished", "pruned"} | FAILURES
    for trial in trials:
        assert trial.values is None or trial.status == "finished"
        assert grown or trial.status != "finished" or trial.values is not None
        epochs = sorted(trial.reports)
        assert epochs == list(range(1, len(epochs) + 1))
        assert trial.status != "finished" or len(epochs) == trial.config.budget.epochs
        assert trial.status != "pruned" or settings.scheduler != "none"
        assert trial.status != "pruned" or not trial.reference, "others are compared at its end"
