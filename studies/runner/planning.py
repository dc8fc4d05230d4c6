"""What to train: from a definition and the settings to configurations, seeds and phases."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from pydantic import ValidationError

from studies.definition import DEFAULT_SPACE, Goal, Objective, StudyDefinition
from studies.errors import InputError
from studies.ledger.layout import Parameters
from studies.ledger.ledger import Ledger, LedgerTrial, Phase
from studies.runner import fitting, heirs, pins
from studies.runner.pins import NO_PINS, Pins
from studies.runner.settings import Settings
from studies.scheduling import sampling
from studies.scheduling.population import Population
from studies.scheduling.pruning import (
    EndingRule,
    Hyperband,
    MedianStopping,
    Promotion,
    SuccessiveHalving,
    comparable,
)
from vae_trainables.config import TrialConfig, setting_of, stable_hash

if TYPE_CHECKING:
    from vae_trainables.datasets import Facts

DRAWS = 64  # of a space, to see what it suggests
WATCH = ("watch", "watch_direction")
CONFIRM_SEED = 1_000_000  # fresh seeds: far from any that a search used


NOTHING: Mapping[str, Any] = {}
NO_TRIALS: Mapping[str, LedgerTrial] = {}
RUNGS: Mapping[str, type[SuccessiveHalving] | type[Hyperband]] = {
    "asha": SuccessiveHalving,
    "promotion": Promotion,
    "hyperband": Hyperband,
}


@dataclass(frozen=True)
class Led:
    """To which configuration a space leads, by which suggestions."""

    config: TrialConfig
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]

    def is_all_of(self, config: TrialConfig) -> bool:
        """Whether the other one would give the same figures, up to the seed."""
        return _trained(self.config) == _trained(config)


@dataclass(frozen=True)
class Plan:
    """A definition with the settings applied."""

    definition: StudyDefinition
    settings: Settings
    reference: TrialConfig
    objectives: list[Objective]
    companions: tuple[TrialConfig, ...] = ()
    pins: Pins = NO_PINS

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
        return updated(self.reference, self.pins.ask(self.definition.space, trial))

    def parameters(self) -> Parameters:
        """The suggestions that lead to the reference, and where they come from."""
        led = self.lead(self.reference, self.reference_params())
        return (led.params, led.distributions) if led is not None else ({}, {})

    def reference_params(self) -> dict[str, Any]:
        """Values for `optuna.Study.enqueue_trial` that lead to the reference of this plan."""
        return replace(self.definition, reference=self.reference).reference_params()

    @property
    def goal(self) -> Goal:
        """What is optimised; of each epoch all is kept that this definition may ever optimise."""
        offered = frozenset(o.metric for o in self.definition.objectives.values())
        return Goal(tuple(self.objectives), self.definition.prune_on, offered)

    def lead(self, config: TrialConfig, params: Mapping[str, Any] = NOTHING) -> Led | None:
        """The suggestions that agree with `config` in all that the space asks for; None: outside.

        params: those of another space, where names of suggestions are no fields.
        """
        fields = config.model_dump()
        trial = optuna.trial.FixedTrial({**fields, **self.definition.reference_choices, **params})
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a value out of its range is told below
                led_to = self.configure(trial)  # type: ignore[arg-type]
            inside = all(
                distribution._contains(distribution.to_internal_repr(trial.params[name]))
                for name, distribution in trial.distributions.items()
            )
        except (ValueError, InputError):  # no choice any more, of another kind
            return None
        return Led(led_to, dict(trial.params), dict(trial.distributions)) if inside else None

    def leads_to(self, config: TrialConfig, params: Mapping[str, Any]) -> TrialConfig | None:
        """The configuration alone that `lead` finds."""
        led = self.lead(config, params)
        return None if led is None else led.config

    def express(self, config: TrialConfig, params: Mapping[str, Any]) -> Parameters | None:
        """The suggestions by which the space leads to `config`, or None if it cannot.

        params: as for `lead`.
        """
        led = self.lead(config, params)
        if led is None or not led.is_all_of(config):
            return None
        return led.params, led.distributions

    def fingerprint(self) -> dict[str, Any]:
        """What must not change while a study goes on, for its results to be comparable."""
        return {
            "space": stable_hash(self._space_facts()),
            "space_name": self.settings.space,
            "objectives": [[o.metric, o.direction] for o in self.objectives],
            "prune_on": self.definition.prune_on.metric,
            "fixed": self.reference.identity(),
            **self._population_facts(),
        }

    def _population_facts(self) -> dict[str, Any]:
        """Of what every judgement depends on the whole population."""
        settings = self.settings
        if settings.scheduler != "pbt" or settings.reference:
            return {}
        return {"population": [settings.most_trials, settings.grace, settings.eta]}

    def _space_facts(self) -> Any:
        """What tells one space from another.

        A named one may be made of functions that others share, of which its source tells nothing:
        its ranges do. Those of the default space would change what began without them.
        """
        source = inspect.getsource(self.definition.space)
        if self.settings.space == DEFAULT_SPACE:
            return [source, self.pins.as_text()] if self.pins else source
        ranges = pins.suggestions(self.definition.space)
        named = {name: distribution_to_json(ranges[name]) for name in sorted(ranges)}
        return [source, self.pins.as_text(), self.settings.space, named]

    def pruner(self, trials: Mapping[str, LedgerTrial] = NO_TRIALS) -> EndingRule | None:
        """The rule that ends search trials early, if any; trials: the ledger's."""
        grace, direction = self.settings.grace, self.definition.prune_on.direction
        epochs, eta = self.reference.budget.epochs, self.settings.eta
        match self.settings.scheduler:
            case "none":
                return None
            case "median":
                return MedianStopping(grace=grace, direction=direction)
            case "pbt":
                return Population(
                    trials,
                    size=int(self.settings.most_trials),
                    interval=grace,
                    share=1 / eta,
                    max_epochs=epochs,
                    metric=self.definition.prune_on.metric,
                    direction=direction,
                    comparison=comparable,
                    chance=self.settings.seed,
                )
            case name:
                rule = RUNGS[name]
                return rule(grace=grace, eta=eta, max_epochs=epochs, direction=direction)

    def sampler(self) -> optuna.samplers.BaseSampler:
        """The sampler."""
        settings = self.settings
        return sampling.make(settings.sampler, seed=settings.seed, objectives=len(self.objectives))


def _trained(config: TrialConfig) -> dict[str, Any]:
    """What decides about a trial's figures, up to the seed and what is looked at."""
    return config.flat(without=["seed", "threads", "evaluations", *WATCH])


def suggestions(plan: Plan) -> list[TrialConfig]:
    """The reference and what the space suggests when it is asked at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [plan.reference, *(plan.configure(study.ask()) for _ in range(DRAWS))]


def make_plan(definition: StudyDefinition, settings: Settings, facts: Facts | None = None) -> Plan:
    """The plan for data of which `facts` tell; None: a published set, which the defaults fit.

    Raises InputError for a space, an objective or a value that cannot be.
    """
    definition = definition.searching(settings.space)
    names = (settings.objective or next(iter(definition.objectives))).split(",")
    for name in names:
        if name not in definition.objectives:
            raise InputError(
                f"--objective {name!r} is unknown; {definition.kind} offers "
                f"{', '.join(definition.objectives)}"
            )
    objectives = [definition.objectives[name] for name in names]
    extras = {o.evaluation for o in [*objectives, definition.prune_on] if o.evaluation}
    evaluations = set(definition.reference.evaluation.extras) | extras
    changes: dict[str, Any] = {
        "seed": settings.seed,
        "threads": settings.threads,
        "evaluations": tuple(sorted(evaluations)),
    }
    changes |= _watched(definition, settings, objectives)
    for name in ("epochs", "dataset", "binarise", "train_size", "batch_size", "precision"):
        if getattr(settings, name) is not None:
            changes[name] = getattr(settings, name)
    _check_budget(settings, changes.get("epochs", definition.reference.budget.epochs))
    fitting.check_labels((), [*objectives, definition.prune_on], facts)
    if facts is not None and not facts.labelled:
        changes["evaluations"] = tuple(sorted(evaluations - set(fitting.FROM_LABELS)))
    fixed = fitting.unlabelled(definition.reference, facts) | _flagged(definition, settings)
    held = pins.parse(settings.set or (), definition, fixed)
    if settings.binarise not in (None, held.fields.get("binarise", settings.binarise)):
        raise InputError("--binarise and --set binarise= contradict each other: give one of them")
    configs = [
        updated(config, changes | fitting.fitted(config, facts) | held.for_reference)
        for config in (definition.reference, *definition.companions)
    ]
    plan = Plan(definition, settings, configs[0], objectives, _distinct(configs), held)
    heirs.check_population(settings, plan.leads_to, plan.reference, plan.parameters)
    if plan.name in (settings.warm_start or ()):
        raise InputError(f"--warm-start {plan.name}: a study cannot begin with itself")
    _try_space(plan, facts)
    return plan


def _check_budget(settings: Settings, epochs: int) -> None:
    budget = settings.search_budget
    if budget is None or budget.epochs is None:
        return
    if budget.epochs < epochs * settings.seeds:
        whole = f"{epochs} epochs" if settings.seeds == 1 else f"{settings.seeds} x {epochs} epochs"
        raise InputError(
            f"--budget {budget.text} is less than one trial of {whole}: give more, or fewer "
            "--epochs"
        )


def _flagged(definition: StudyDefinition, settings: Settings) -> dict[str, Any]:
    """What a flag holds at a value although the space would search it."""
    if settings.batch_size is None or "batch_size" not in pins.suggestions(definition.space):
        return {}
    return {"batch_size": settings.batch_size}


def _watched(
    definition: StudyDefinition, settings: Settings, objectives: list[Objective]
) -> dict[str, Any]:
    """What plateau and early stopping watch: what the search optimises, unless the study says.

    `--reference` optimises nothing: its trials watch what the reference says.
    """
    if settings.reference or "watch" in definition.reference.given:
        return {}
    return {"watch": objectives[0].metric, "watch_direction": objectives[0].direction}


def _distinct(configs: list[TrialConfig]) -> tuple[TrialConfig, ...]:
    """The companions that are still something else than the reference and each other."""
    by_print = {config.fingerprint(): config for config in reversed(configs)}
    return tuple(c for c in configs[1:] if c is by_print[c.fingerprint()])


def _try_space(plan: Plan, facts: Facts | None = None) -> None:
    """Raise InputError for a space without the reference's values or with what cannot be."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(plan.reference_params())
    first, where = study.ask(), f"the space of the study {plan.definition.kind}"
    try:
        configs = [plan.configure(first), *(plan.configure(study.ask()) for _ in range(DRAWS))]
    except ValueError as error:
        raise InputError(f"{where}: {str(error).splitlines()[0]}") from error
    for name, distribution in first.distributions.items():
        if not distribution._contains(distribution.to_internal_repr(first.params[name])):
            value = first.params[name]
            raise InputError(f"{where}: the reference's {name} = {value!r} lies outside of it")
    fitting.check_labels([plan.reference, *plan.companions, *configs], (), facts)


def updated(config: TrialConfig, changes: dict[str, Any]) -> TrialConfig:
    """`config` with changes, validated; InputError if a value cannot be."""
    try:
        return config.model_copy(update=changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{setting_of(first)} = {first['input']!r}: {first['msg']}") from error


def search_source(
    plan: Plan,
    ledger: Ledger,
    has_room: Callable[[], bool] = lambda: True,
    first: Sequence[dict[str, Any]] = (),
    population: EndingRule | None = None,
) -> Callable[[], LedgerTrial | None]:
    """New search trials, until `--trials` configurations are in the ledger or no room is left.

    The reference is the first, then come those that `first` suggests.

    With `--seeds N`, a configuration whose first seed finished gets the other N - 1: what was
    pruned or failed is not worth averaging. population: under whose rule a trial may have heirs.
    """

    decided = [plan.reference_params(), *first]

    def plan_next() -> LedgerTrial | None:
        extra = _next_seed(ledger, plan.settings.seeds)
        if extra is not None:
            first, seed = extra
            config = first.config.model_copy(update={"seed": seed})
            return ledger.plan("search", config, like=first, reference=first.reference)
        succession = population.due() if isinstance(population, Population) else None
        if succession is not None:
            return heirs.plan_heir(plan.leads_to, ledger, succession)
        if ledger.suggested >= plan.settings.most_trials or not has_room():
            return None
        if ledger.suggested < len(decided):
            ledger.enqueue(decided[ledger.suggested])
        return ledger.ask(plan.configure, plan.reference)

    return plan_next


def _next_seed(ledger: Ledger, seeds: int) -> tuple[LedgerTrial, int] | None:
    if seeds == 1:
        return None
    for group in groups(ledger).values():
        if len(group) < seeds and group[0].values is not None:
            return group[0], max(t.config.seed for t in group) + 1
    return None


def groups(ledger: Ledger) -> dict[str, list[LedgerTrial]]:
    """Search trials by configuration, the one that was suggested first."""
    by_group: dict[str, list[LedgerTrial]] = {}
    for trial in ledger.trials.values():
        if trial.phase == "search":
            by_group.setdefault(trial.group, []).append(trial)
    return by_group


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
    """What `to_confirm` chooses and the reference, all on the same fresh seeds."""
    best = to_confirm(plan, ledger)
    reference = next((t for t in ledger.trials.values() if t.reference), None)
    candidates: list[tuple[TrialConfig, LedgerTrial | None, bool]] = [
        (plan.reference, reference, True),
        *((t.config, t, False) for t in best if not t.reference),
    ]
    seeds = range(CONFIRM_SEED, CONFIRM_SEED + plan.settings.confirm_seeds)
    return [
        (config.model_copy(update={"seed": seed, "patience": 0}), like, is_reference)
        for seed in seeds
        for config, like, is_reference in candidates
    ]


def to_confirm(plan: Plan, ledger: Ledger) -> list[LedgerTrial]:
    """The best `confirm_top` configurations; of several objectives, members of the Pareto front.

    Where the front has more, both its ends and others spread evenly between them, in the order of
    the first objective. Where it has fewer, all of them.
    """
    top = plan.settings.confirm_top or 0
    if len(plan.objectives) == 1:
        return ranking(plan, ledger)[:top]
    costs = _mean_costs(plan, ledger)
    front = [
        trial for trial, mine in costs if not any(_dominates(theirs, mine) for _, theirs in costs)
    ]
    if len(front) <= top or top == 1:
        return front[:top]
    return [front[round(place * (len(front) - 1) / (top - 1))] for place in range(top)]


def _dominates(first: list[float], second: list[float]) -> bool:
    """Whether costs are nowhere larger and somewhere smaller."""
    return all(a <= b for a, b in zip(first, second, strict=True)) and first != second


def ranking(plan: Plan, ledger: Ledger) -> list[LedgerTrial]:
    """One finished search trial per configuration, best mean of the first objective first."""
    return [trial for trial, _ in _mean_costs(plan, ledger)]


def search_scores(plan: Plan, ledger: Ledger) -> dict[str, float]:
    """The first objective's mean over the search's seeds, by the key of the first of them."""
    sign = -1.0 if plan.objectives[0].direction == "maximize" else 1.0
    return {trial.key: sign * costs[0] for trial, costs in _mean_costs(plan, ledger)}


def _mean_costs(plan: Plan, ledger: Ledger) -> list[tuple[LedgerTrial, list[float]]]:
    """Finished configurations by their first trial, with means over seeds; smaller is better."""
    finished = [[t for t in g if t.values is not None] for g in groups(ledger).values()]
    whole = [g for g in finished if len(g) >= plan.settings.seeds]
    signs = [-1.0 if o.direction == "maximize" else 1.0 for o in plan.objectives]

    def costs(group: list[LedgerTrial]) -> list[float]:
        values = [t.values for t in group if t.values]
        return [
            sign * sum(column) / len(group)
            for sign, column in zip(signs, zip(*values, strict=True), strict=True)
        ]

    return sorted(((g[0], costs(g)) for g in whole), key=lambda row: row[1][0])
