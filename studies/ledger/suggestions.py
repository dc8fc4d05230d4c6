"""What the sampler is shown: an Optuna study in memory, made from the ledger's search trials.

The ledger is the record of what happened; this is a decision about what a sampler may conclude from
it (docs/explanation/search.md). It is made in one function, `shown`, for trials that end now and
for those of a ledger that was opened again, so that a resumed sampler sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from studies.definition import Goal
from studies.ledger.trials import ENDED, LedgerTrial
from vae_trainables.config import TrialConfig

NAME = "search"
"""Of the sampler's study; what only tries a space, before a start, asks in one without a name."""


@dataclass(frozen=True)
class Shown:
    """A trial as the sampler sees it."""

    state: TrialState
    values: list[float] | None = None
    curve: Mapping[int, float] | None = None


def shown(trial: LedgerTrial | None, goal: Goal) -> Shown:
    """What the sampler sees of a search trial; None: one that was never planned.

    Only the objectives' own values, whatever the trial was pruned on. Where a pruned trial has
    none that could be compared, it is one whose place was tried and whose value is unknown. An heir
    owes its values to its parent's settings too.
    """
    if trial is None or trial.outside or trial.parent:
        return Shown(TrialState.FAIL)
    if trial.status not in ENDED:
        return Shown(TrialState.RUNNING)
    if trial.status == "finished" and trial.values is not None:
        return Shown(TrialState.COMPLETE, trial.values)
    if trial.status != "pruned":
        return Shown(TrialState.FAIL)
    curve = trial.curve(goal.objectives[0].metric) if len(goal.objectives) == 1 else {}
    return Shown(TrialState.PRUNED, None, curve) if curve else Shown(UNKNOWN)


UNKNOWN = TrialState.RUNNING


@dataclass(frozen=True)
class Suggestion:
    """A configuration, and what Optuna wants to remember of how it came about."""

    config: TrialConfig
    frozen: FrozenTrial


class Suggestions:
    """The sampler's study. Its trials are in the order of the ledger's search trials.

    memory: what the sampler keeps about the study as a whole (NSGA-II, QMC).
    earlier: trials of other studies, which come before those of the ledger.
    """

    def __init__(
        self,
        goal: Goal,
        sampler: optuna.samplers.BaseSampler,
        memory: Mapping[str, Any],
        earlier: Sequence[FrozenTrial] = (),
    ) -> None:
        self.goal, self._earlier = goal, len(earlier)
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(
            study_name=NAME,
            storage=self._storage,
            sampler=sampler,
            directions=[objective.direction for objective in goal.objectives],
        )
        for name, value in memory.items():
            self._storage.set_study_system_attr(self._study._study_id, name, value)
        for trial in earlier:
            self._storage.create_new_trial(self._study._study_id, template_trial=trial)

    @property
    def memory(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dict(self._storage.get_study_system_attrs(self._study._study_id))

    def enqueue(self, params: dict[str, Any]) -> None:
        """Let the next `ask` suggest exactly `params`."""
        self._study.enqueue_trial(params)

    def ask(self, configure: Callable[[optuna.Trial], TrialConfig]) -> Suggestion:
        """A new suggestion; one that cannot be configured has failed."""
        trial = self._study.ask()
        try:
            config = configure(trial)
        except BaseException:
            self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            raise
        return Suggestion(config, self._storage.get_trial(trial._trial_id))

    def add(self, trial: LedgerTrial | None, frozen: FrozenTrial) -> None:
        """A trial that was not suggested here: of an earlier start, or on another seed.

        frozen: lends parameters, distributions and the sampler's own attributes.
        """
        look = shown(trial, self.goal)
        template = create_trial(
            state=look.state,
            values=look.values,
            params=frozen.params,
            distributions=frozen.distributions,
            system_attrs=frozen.system_attrs,
            intermediate_values=dict(look.curve or {}),
        )
        self._storage.create_new_trial(self._study._study_id, template_trial=template)

    def ended(self, trial: LedgerTrial) -> None:
        """The trial has ended."""
        look = shown(trial, self.goal)
        if trial.outside or trial.parent or look.state == TrialState.RUNNING:
            return
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(
            self._study._study_id, self._earlier + trial.number
        )
        for epoch, value in (look.curve or {}).items():
            self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        self._storage.set_trial_state_values(trial_id, look.state, look.values)

    def trials(self) -> list[FrozenTrial]:
        """All that the sampler sees."""
        return self._study.get_trials(deepcopy=False)
