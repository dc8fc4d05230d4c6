"""What an heir of population based training is trained with, and whether a space allows for any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from studies.errors import InputError
from studies.ledger.layout import Parameters
from studies.ledger.ledger import Ledger, LedgerTrial
from studies.runner.settings import Settings
from studies.scheduling.population import Succession
from vae_trainables.config import LIVE, TrialConfig

Space = Callable[[TrialConfig, Mapping[str, Any]], TrialConfig | None]
"""From a configuration and suggestions to the configuration that these lead to, None: to none."""


def plan_heir(space: Space, ledger: Ledger, succession: Succession) -> LedgerTrial:
    """Record the heir of a succession."""
    config, parameters = heir(space, succession, ledger.parameters(succession.parent))
    parent, instead_of = succession.parent.key, succession.instead_of.key
    return ledger.plan_heir(config, parameters, parent=parent, instead_of=instead_of)


def heir(
    space: Space, succession: Succession, parameters: Parameters
) -> tuple[TrialConfig, Parameters]:
    """The configuration of an heir, and its suggestions; parameters: its parent's.

    Each number that the space suggests and that may change while a trial is trained is multiplied
    by a factor of its own, and kept within its range.
    """
    parent, (params, distributions) = succession.parent, parameters
    present = space(parent.config, params)
    changes: dict[str, Any] = {}
    for name, factor in zip(sorted(params), succession.factors(), strict=False):
        changed = params | {name: _times(params[name], distributions[name], factor)}
        other = space(parent.config, changed)
        if other is None or present is None:
            continue
        different = _differences(present, other)
        if different and different.keys() <= LIVE | other.objective.own.keys():
            changes |= different
            present, params = other, changed
    return parent.config.heir(succession.epoch, changes), (params, distributions)


def check_population(
    settings: Settings, space: Space, reference: TrialConfig, parameters: Callable[[], Parameters]
) -> None:
    """Raise InputError where population based training could do nothing.

    parameters: tells the suggestions that lead to the reference; asked with pbt alone, for a space
    that looks at its study can be asked by a search, but not beforehand.
    """
    if settings.scheduler != "pbt" or settings.reference:
        return
    if settings.most_trials < 2:
        raise InputError("--scheduler pbt needs a population: give --trials 2 or more")
    if settings.grace >= reference.budget.epochs:
        raise InputError(
            f"--scheduler pbt judges every {settings.grace} epochs (--grace), and a trial has "
            f"{reference.budget.epochs}: give fewer, or more --epochs"
        )
    first = LedgerTrial("search", 0, reference)
    config, _ = heir(space, Succession(first, settings.grace, first, 0), parameters())
    if not config.lineage[-1].settings:
        raise InputError(
            "--scheduler pbt finds nothing in the space that may change while a trial is trained: "
            f"it would have to suggest one of {', '.join(sorted(LIVE))}"
        )


def _times(value: Any, distribution: BaseDistribution, factor: float) -> Any:
    """A suggested number times `factor`, in its range; what is no number as it is."""
    match distribution:
        case FloatDistribution(low=low, high=high):
            return min(max(value * factor, low), high)
        case IntDistribution(low=low, high=high):
            return min(max(round(value * factor), low), high)
        case _:
            return value


def _differences(before: TrialConfig, after: TrialConfig) -> dict[str, Any]:
    """The settings of `after` that differ."""
    old, new = before.flat(), after.flat()
    return {name: value for name, value in new.items() if old.get(name) != value}
