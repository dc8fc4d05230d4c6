"""How a ledger lies in an Optuna storage: one Optuna study per phase, one attribute per fact.

An Optuna study has its objectives for ever, and one distribution per parameter. Where either
changes, all phases are written once more, as the next edition, with the same trials under the same
numbers; its mark is its last line, and only then the edition before it goes. Whatever moment a
driver dies at, exactly one edition counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from studies.definition import Goal
from studies.ledger.journal import LedgerError
from studies.ledger.trials import OPTUNA_STATE, PHASES, LedgerTrial, Phase
from vae_trainables.config import TrialConfig

CREATED = "vae-studies:created"
OBJECTIVES = "vae-studies:objectives"
SAMPLER = "vae-studies:sampler"
EPOCH = "epoch:"

Parameters = tuple[dict[str, Any], dict[str, BaseDistribution]]
"""Values by name, and the distributions that they come from."""
Express = Callable[[TrialConfig, Mapping[str, Any]], Parameters | None]
"""From a trial's configuration and its old parameters to its parameters in the present space."""


def kept(goal: Goal, metrics: Mapping[str, float]) -> dict[str, float]:
    """Those of an epoch's metrics that the ledger keeps."""
    return {
        name: metrics[name]
        for name in sorted(goal.kept)
        if name in metrics and math.isfinite(metrics[name])
    }


class Layout:
    """The Optuna studies of one ledger. Raises LedgerError where they belong to another study."""

    def __init__(self, storage: BaseStorage, folder: Path, name: str) -> None:
        self.storage, self.folder, self.name = storage, folder, name
        editions: dict[int, dict[Phase, int]] = {}
        for study in storage.get_all_studies():
            edition, phase = self._place(study.study_name)
            editions.setdefault(edition, {})[phase] = study._study_id
        whole = [edition for edition, ids in editions.items() if self._is_whole(ids)]
        self.edition = max(whole, default=1)
        self._studies = editions.pop(self.edition, {})
        self._memory = self.memory()
        for ids in editions.values():  # the driver died while it wrote one, or removed one
            self._remove(ids)

    def _place(self, study_name: str) -> tuple[int, Phase]:
        """Edition and phase that a study's name stands for."""
        if study_name == self.name:
            return 1, "search"
        for phase in PHASES:
            pattern = rf"{re.escape(self.name)} \[{phase}(?: (\d+))?\]"
            if match := re.fullmatch(pattern, study_name):
                return int(match.group(1) or 1), phase
        raise LedgerError(
            f"{self.folder} holds the study {study_name!r}, not {self.name!r}: the two names "
            "give the same folder; choose another --study or --storage"
        )

    def _is_whole(self, ids: Mapping[Phase, int]) -> bool:
        return "search" in ids and CREATED in self.storage.get_study_system_attrs(ids["search"])

    @property
    def phases(self) -> list[Phase]:
        """Those that there is a study of."""
        return [phase for phase in PHASES if phase in self._studies]

    @property
    def whole(self) -> bool:
        """True once the study has been created with all its facts."""
        return self._is_whole(self._studies)

    def create(self, goal: Goal, facts: Mapping[str, Any]) -> None:
        """Create the studies of all phases, or what a crash in the midst of it left out."""
        for phase in PHASES:
            if phase not in self._studies:
                self._studies[phase] = self.storage.create_new_study(
                    [StudyDirection[o.direction.upper()] for o in goal.objectives],
                    _study_name(self.name, phase, self.edition),
                )
        self.set_facts(facts)
        self._mark(goal)

    def _mark(self, goal: Goal) -> None:
        search = self._studies["search"]
        self.storage.set_study_system_attr(search, OBJECTIVES, goal.named())
        self.storage.set_study_system_attr(search, CREATED, True)  # last: all is there

    def serves(self, goal: Goal) -> bool:
        """Whether these studies are of the goal's objectives, and of this version's layout."""
        return self._system().get(OBJECTIVES) == goal.named()

    def facts(self) -> dict[str, Any]:
        """What was recorded about the study."""
        return dict(self.storage.get_study_user_attrs(self._studies["search"]))

    def set_facts(self, facts: Mapping[str, Any]) -> None:
        """Record or replace facts about the study."""
        for name, value in facts.items():
            self.storage.set_study_user_attr(self._studies["search"], name, value)

    def memory(self) -> dict[str, Any]:
        """What the sampler keeps about the study as a whole."""
        return dict(self._system().get(SAMPLER, {}))

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Record the sampler's memory, where it has changed."""
        if memory != self._memory:
            self._memory = dict(memory)
            self.storage.set_study_system_attr(self._studies["search"], SAMPLER, self._memory)

    def _system(self) -> dict[str, Any]:
        if "search" not in self._studies:
            return {}
        return self.storage.get_study_system_attrs(self._studies["search"])

    def frozen(self, phase: Phase) -> list[FrozenTrial]:
        """All trials of a phase, by number."""
        return self.storage.get_all_trials(self._studies[phase], deepcopy=False)

    def add(self, trial: LedgerTrial, like: FrozenTrial) -> tuple[int, int]:
        """Record a planned trial with the parameters of `like`, in one line; its id and number."""
        return self._create(
            trial.phase,
            create_trial(
                state=TrialState.WAITING,
                params=like.params,
                distributions=like.distributions,
                system_attrs=like.system_attrs,
                user_attrs=_attributes(trial),
            ),
        )

    def skip(self, phase: Phase) -> None:
        """Use up a number."""
        self._create(phase, create_trial(state=TrialState.FAIL))

    def _create(self, phase: Phase, template: FrozenTrial) -> tuple[int, int]:
        trial_id = self.storage.create_new_trial(self._studies[phase], template_trial=template)
        return trial_id, self.storage.get_trial(trial_id).number

    def discard(self, frozen: FrozenTrial) -> None:
        """Nobody's trial: it has failed."""
        if not frozen.state.is_finished():
            self.storage.set_trial_state_values(frozen._trial_id, TrialState.FAIL)

    def report(self, trial_id: int, goal: Goal, epoch: int, metrics: dict[str, float]) -> None:
        """Record an epoch; as Optuna's intermediate value only what is the objective itself."""
        self.storage.set_trial_user_attr(trial_id, f"{EPOCH}{epoch}", metrics)
        value = metrics.get(goal.objectives[0].metric)
        if len(goal.objectives) == 1 and value is not None:
            self.storage.set_trial_intermediate_value(trial_id, epoch, value)

    def reports(self, frozen: FrozenTrial) -> dict[int, dict[str, float]]:
        """What was kept of a trial's epochs."""
        epochs = {
            int(name.removeprefix(EPOCH)): metrics
            for name, metrics in frozen.user_attrs.items()
            if name.startswith(EPOCH)
        }
        if epochs or OBJECTIVES in self._system():  # a mended ledger may have lost the latter
            return epochs
        return self._first_layout(frozen)

    def _first_layout(self, frozen: FrozenTrial) -> dict[int, dict[str, float]]:
        """Before there was OBJECTIVES, the pruning metric was Optuna's intermediate value."""
        facts = self.facts()
        metric, objectives = facts.get("prune_on", ""), facts.get("objectives", [])
        reports = {epoch: {metric: value} for epoch, value in frozen.intermediate_values.items()}
        whole = len(objectives) == len(frozen.values or ())
        if frozen.state == TrialState.COMPLETE and frozen.values and reports and whole:
            last = zip((name for name, _ in objectives), frozen.values, strict=True)
            reports[max(reports)] |= dict(last)
        return reports

    def renew(
        self, goal: Goal, trials: Mapping[str, LedgerTrial], express: Express | None
    ) -> dict[str, int]:
        """Write the next edition and remove this one; the new ids of `trials` by their keys."""
        facts, old = self.facts(), dict(self._studies)
        frozen = {phase: self.frozen(phase) for phase in PHASES}
        own = {(trial.phase, trial.number): trial for trial in trials.values()}
        self._studies, self.edition = {}, self.edition + 1
        for phase in PHASES:
            self._studies[phase] = self.storage.create_new_study(
                [StudyDirection[o.direction.upper()] for o in goal.objectives],
                _study_name(self.name, phase, self.edition),
            )
        ids: dict[str, int] = {}
        for phase in PHASES:
            for before in frozen[phase]:
                trial = own.get((phase, before.number))
                if trial is None:
                    self.skip(phase)
                    continue
                ids[trial.key] = self._create(phase, _renewed(trial, before, goal, express))[0]
        self.set_facts(facts)
        self.remember({} if express else self._memory)
        self._mark(goal)
        self._remove(old)
        return ids

    def _remove(self, ids: Mapping[Phase, int]) -> None:
        for study_id in ids.values():
            self.storage.delete_study(study_id)


def _attributes(trial: LedgerTrial) -> dict[str, Any]:
    rare = {"parent": trial.parent, "instead_of": trial.instead_of, "outside": trial.outside}
    return {
        "config": trial.config.flat(),
        "reference": trial.reference,
        "like": trial.like,
        "status": trial.status,
    } | {name: value for name, value in rare.items() if value}


def _renewed(
    trial: LedgerTrial, before: FrozenTrial, goal: Goal, express: Express | None
) -> FrozenTrial:
    """The trial for another edition, at its old times.

    In another space a sampler's own attributes mean nothing any more, and of the parameters only
    those that lead to the same configuration.
    """
    state = OPTUNA_STATE[trial.status]
    params, distributions, system = before.params, before.distributions, before.system_attrs
    if express is not None and trial.phase == "search":
        expressed, system = express(trial.config, before.params), {}
        params, distributions = expressed or ({}, {})
        trial.outside = expressed is None
    if state == TrialState.COMPLETE and trial.values is None:
        state = TrialState.FAIL
    own = trial.curve(goal.objectives[0].metric) if len(goal.objectives) == 1 else {}
    epochs = {f"{EPOCH}{epoch}": metrics for epoch, metrics in trial.reports.items()}
    more = {"attempt": trial.attempt, "reason": trial.reason}
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        values=trial.values if state == TrialState.COMPLETE else None,
        datetime_start=before.datetime_start,
        datetime_complete=before.datetime_complete,
        params=params,
        distributions=distributions,
        user_attrs=_attributes(trial) | more | epochs,
        system_attrs=system,
        intermediate_values=own,
    )


def _study_name(name: str, phase: Phase, edition: int) -> str:
    if edition > 1:
        return f"{name} [{phase} {edition}]"
    return name if phase == "search" else f"{name} [{phase}]"
