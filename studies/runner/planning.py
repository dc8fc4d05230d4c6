"""What to train: from a definition and the settings to configurations, seeds and phases."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from pydantic import ValidationError

from studies.definition import Objective, StudyDefinition
from studies.errors import InputError
from studies.ledger.ledger import Ledger, LedgerTrial, Phase
from studies.runner.settings import Settings
from studies.scheduling.pruning import SuccessiveHalving
from vae_trainables.config import TrialConfig, stable_hash

DRAWS = 64  # of a space, to see what it suggests
CONFIRM_SEED = 1_000_000  # fresh seeds: far from any that a search used


@dataclass(frozen=True)
class Plan:
    """A definition with the settings applied."""

    definition: StudyDefinition
    settings: Settings
    reference: TrialConfig
    objectives: list[Objective]
    companions: tuple[TrialConfig, ...] = ()

    @property
    def name(self) -> str:
        """The study's name."""
        return self.settings.study or self.definition.kind

    def source_text(self) -> str | None:
        """The user's own file for those who have to import it; None for a study of ours."""
        source = self.definition.source
        return source.to_json() if source is not None else None

    def configure(self, trial: optuna.Trial) -> TrialConfig:
        """The configuration that `trial` suggests."""
        return updated(self.reference, self.definition.space(trial))

    def fingerprint(self) -> dict[str, Any]:
        """What must not change while a study goes on, for its results to be comparable."""
        return {
            "space": stable_hash(inspect.getsource(self.definition.space)),
            "objectives": [[o.metric, o.direction] for o in self.objectives],
            "prune_on": self.definition.prune_on.metric,
            "fixed": self.reference.model_dump(mode="json", exclude={"seed"}),
        }

    def pruner(self) -> SuccessiveHalving | None:
        """The rule that ends search trials early, if any."""
        if self.settings.scheduler == "none":
            return None
        return SuccessiveHalving(
            grace=self.settings.grace,
            eta=self.settings.eta,
            max_epochs=self.reference.epochs,
            direction=self.definition.prune_on.direction,
        )

    def sampler(self, already: int) -> optuna.samplers.BaseSampler:
        """Optuna's sampler; on resume it must not repeat the random numbers it began with."""
        seed = self.settings.seed + already
        match self.settings.sampler:
            case "tpe":
                return optuna.samplers.TPESampler(seed=seed)
            case "random":
                return optuna.samplers.RandomSampler(seed=seed)
            case "gp":
                return optuna.samplers.GPSampler(seed=seed)
            case "qmc":
                return optuna.samplers.QMCSampler(seed=seed)
            case "nsga2":
                return optuna.samplers.NSGAIISampler(seed=seed)


def widest_latent(plan: Plan) -> int:
    """The largest latent_dim of the study: cohorts pad to it. Wider ones get their own cohort."""
    return max(config.latent_dim for config in _suggestions(plan))


def fusion_keys(plan: Plan) -> int:
    """How many kinds of cohorts the study's trials fall into, about."""
    from vae_trainables.cohort.fusion import fusion_key  # imports torch: seconds

    return len({fusion_key(config) for config in _suggestions(plan)})


def _suggestions(plan: Plan) -> list[TrialConfig]:
    """The reference and what the space suggests when it is asked at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [plan.reference, *(plan.configure(study.ask()) for _ in range(DRAWS))]


def make_plan(definition: StudyDefinition, settings: Settings) -> Plan:
    """Raises InputError for an objective or a value that cannot be."""
    names = (settings.objective or next(iter(definition.objectives))).split(",")
    for name in names:
        if name not in definition.objectives:
            raise InputError(
                f"--objective {name!r} is unknown; {definition.kind} offers "
                f"{', '.join(definition.objectives)}"
            )
    objectives = [definition.objectives[name] for name in names]
    wanted = {o.evaluation for o in [*objectives, definition.prune_on] if o.evaluation}
    evaluations = set(definition.reference.evaluations) | wanted
    changes: dict[str, Any] = {
        "seed": settings.seed,
        "threads": settings.threads,
        "evaluations": tuple(sorted(evaluations)),
    }
    for name in ("epochs", "dataset", "train_size", "batch_size", "precision"):
        if getattr(settings, name) is not None:
            changes[name] = getattr(settings, name)
    companions = tuple(updated(config, changes) for config in definition.companions)
    reference = updated(definition.reference, changes)
    plan = Plan(definition, settings, reference, objectives, companions)
    _try_space(plan)
    return plan


def _try_space(plan: Plan) -> None:
    """Raise InputError for a space without the reference's values or with what cannot be."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(plan.definition.reference_params())
    first, where = study.ask(), f"the space of studies.{plan.definition.kind}"
    try:
        plan.configure(first)
        for _ in range(DRAWS):
            plan.configure(study.ask())
    except ValueError as error:
        raise InputError(f"{where}: {str(error).splitlines()[0]}") from error
    for name, distribution in first.distributions.items():
        if not distribution._contains(distribution.to_internal_repr(first.params[name])):
            value = first.params[name]
            raise InputError(f"{where}: the reference's {name} = {value!r} lies outside of it")


def updated(config: TrialConfig, changes: dict[str, Any]) -> TrialConfig:
    """`config` with changes, validated; InputError if a value cannot be."""
    try:
        return TrialConfig.model_validate(config.model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "configuration"
        raise InputError(f"{where} = {first['input']!r}: {first['msg']}") from error


def search_source(plan: Plan, ledger: Ledger) -> Callable[[], LedgerTrial | None]:
    """New search trials, until `--trials` configurations are in the ledger.

    With `--seeds N`, a configuration whose first seed finished gets the other N - 1: what was
    pruned or failed is not worth averaging.
    """

    def plan_next() -> LedgerTrial | None:
        extra = _next_seed(ledger, plan.settings.seeds)
        if extra is not None:
            first, seed = extra
            config = first.config.model_copy(update={"seed": seed})
            return ledger.plan("search", config, like=first, reference=first.reference)
        if ledger.suggested >= (plan.settings.trials or 0):
            return None
        if ledger.suggested == 0:
            ledger.enqueue(plan.definition.reference_params())
        return ledger.ask(plan.configure, plan.reference)

    return plan_next


def _next_seed(ledger: Ledger, seeds: int) -> tuple[LedgerTrial, int] | None:
    if seeds == 1:
        return None
    for group in groups(ledger).values():
        if len(group) < seeds and group[0].status == "finished":
            return group[0], max(t.config.seed for t in group) + 1
    return None


def groups(ledger: Ledger) -> dict[str, list[LedgerTrial]]:
    """Search trials by configuration, the one that was suggested first."""
    found: dict[str, list[LedgerTrial]] = {}
    for trial in ledger.trials.values():
        if trial.phase == "search":
            found.setdefault(trial.group, []).append(trial)
    return found


def fixed_source(
    ledger: Ledger, phase: Phase, wanted: list[tuple[TrialConfig, LedgerTrial | None, bool]]
) -> Callable[[], LedgerTrial | None]:
    """Trials of given configurations, each once: those the ledger has already are not repeated."""

    def plan_next() -> LedgerTrial | None:
        have = {(t.group, t.config.seed) for t in ledger.trials.values() if t.phase == phase}
        for config, like, is_reference in wanted:
            if (config.fingerprint(), config.seed) not in have:
                return ledger.plan(phase, config, like=like, reference=is_reference)
        return None

    return plan_next


def reference_runs(plan: Plan) -> list[tuple[TrialConfig, LedgerTrial | None, bool]]:
    """`--reference`: the reference configuration and its companions on `--seeds` seeds."""
    first = plan.reference.seed
    return [
        (config.model_copy(update={"seed": first + i}), None, config is plan.reference)
        for i in range(plan.settings.seeds)
        for config in (plan.reference, *plan.companions)
    ]


def confirmation_runs(
    plan: Plan, ledger: Ledger
) -> list[tuple[TrialConfig, LedgerTrial | None, bool]]:
    """The best configurations of the search and the reference, all on the same fresh seeds."""
    best = ranking(plan, ledger)[: plan.settings.confirm_top or 0]
    reference = next((t for t in ledger.trials.values() if t.reference), None)
    chosen: list[tuple[TrialConfig, LedgerTrial | None, bool]] = [
        (plan.reference, reference, True),
        *((t.config, t, False) for t in best if not t.reference),
    ]
    seeds = range(CONFIRM_SEED, CONFIRM_SEED + plan.settings.confirm_seeds)
    return [
        (config.model_copy(update={"seed": seed, "patience": 0}), like, is_reference)
        for seed in seeds
        for config, like, is_reference in chosen
    ]


def ranking(plan: Plan, ledger: Ledger) -> list[LedgerTrial]:
    """One finished search trial per configuration, best mean of the first objective first."""
    finished = [[t for t in g if t.status == "finished"] for g in groups(ledger).values()]
    sign = -1.0 if plan.objectives[0].direction == "maximize" else 1.0
    whole = [g for g in finished if len(g) >= plan.settings.seeds]

    def score(group: list[LedgerTrial]) -> float:
        return sign * sum(t.values[0] for t in group if t.values) / len(group)

    return [group[0] for group in sorted(whole, key=score)]
