"""The ledger: one source of truth per study, of what was planned, happened, and how it ended.

It is an Optuna storage with one Optuna study per phase; the statuses here are finer than Optuna's
and map onto them (`OPTUNA_STATE`). Only the driver writes it. What a sampler learns from it is
decided in `suggestions`; how the file is laid out, and laid out anew, in `layout`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError

from studies.definition import Goal
from studies.ledger.journal import Journal, LedgerError
from studies.ledger.layout import Express, Layout, Parameters, kept
from studies.ledger.suggestions import Suggestions
from studies.ledger.trials import (
    ENDED,
    FAILURES,
    OPTUNA_STATE,
    PHASES,
    LedgerTrial,
    Phase,
    Status,
)
from vae_trainables.config import TrialConfig

__all__ = ["ENDED", "FAILURES", "OPTUNA_STATE", "PHASES", "LedgerTrial", "Phase", "Status"]

DRIVER_KILLED = "the driver was killed"
TAKEN = (".", "artifacts", "mlflow.db")  # beginnings of what else lies in a storage
LONGEST_FOLDER = 200  # bytes; file systems take 255

optuna.logging.set_verbosity(optuna.logging.WARNING)  # the ledger's own words are for the user


class Ledger:
    """Opens or creates the ledger of one study in `folder`.

    Raises LedgerError if another driver holds it, if it is damaged or cannot be written, or if
    the folder belongs to a study of another name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.folder = folder
        self.journal = Journal(folder / "ledger.journal")
        self.trials: dict[str, LedgerTrial] = {}
        self.open: dict[str, LedgerTrial] = {}  # those that have not ended
        self.suggested = 0  # configurations that the sampler suggested
        self._ids: dict[str, int] = {}
        self._repeats: dict[str, set[int]] = {}
        self._suggestions: Suggestions | None = None
        try:
            self.storage = JournalStorage(self.journal)
            self._layout = Layout(self.storage, folder, name)
            for phase in self._layout.phases:
                self._load(phase)
        except BaseException:
            self.journal.close()  # nobody else would let go of the lock
            raise

    @property
    def exists(self) -> bool:
        """True once the study has been created with all its facts."""
        return self._layout.whole

    def create(self, goal: Goal, facts: dict[str, Any]) -> None:
        """Create the study; `facts` is what `facts()` returns ever after."""
        self.goal = goal
        with self.journal.together():
            self._layout.create(goal, facts)
        self.commit()

    def pursue(self, goal: Goal, express: Express | None) -> None:
        """What the study is after from now on; must be called once where it exists already.

        express: the parameters by which the present space leads to an old trial's configuration,
        or None; to be given where the space has changed. A trial without them, and one in which an
        objective was not measured, stays in the ledger but teaches the sampler nothing.
        """
        self.goal = goal
        if express is None and self._layout.serves(goal):
            return
        for trial in self.trials.values():
            trial.values = goal.values(trial.last) if trial.status == "finished" else None
        with self.journal.together():
            self._ids = self._layout.renew(goal, self.trials, express)
        self.commit()

    def facts(self) -> dict[str, Any]:
        """What was recorded about the study: space, data, versions, settings."""
        return self._layout.facts()

    def set_facts(self, facts: dict[str, Any]) -> None:
        """Record or replace facts about the study."""
        self._layout.set_facts(facts)

    def use_sampler(
        self, sampler: optuna.samplers.BaseSampler, earlier: Sequence[FrozenTrial] = ()
    ) -> None:
        """The sampler that `ask` uses from now on; it sees all search trials so far.

        earlier: trials of other studies that it sees before them.
        """
        self._suggestions = Suggestions(self.goal, sampler, self._layout.memory(), earlier)
        for frozen in self._layout.frozen("search"):
            self._suggestions.add(self.trials.get(f"{frozen.number:04d}"), frozen)

    def shown(self) -> list[FrozenTrial]:
        """The search trials as the sampler sees them, behind those of other studies."""
        return self._sampling().trials()

    def enqueue(self, params: dict[str, Any]) -> None:
        """Let the next `ask` suggest exactly `params`."""
        self._sampling().enqueue(params)

    def ask(
        self, configure: Callable[[optuna.Trial], TrialConfig], reference: TrialConfig
    ) -> LedgerTrial:
        """Suggest and record a new search trial.

        An exact repeat of an earlier configuration becomes another seed of it.
        """
        with self.journal.together():
            try:
                suggestion = self._sampling().ask(configure)
            except BaseException:
                self._layout.skip("search")  # its number is taken
                raise
            self._layout.remember(self._sampling().memory)
            config = self._fresh_seed(suggestion.config)
            is_reference = config.fingerprint() == reference.fingerprint()
            return self._record("search", suggestion.frozen, config, is_reference, "")

    def plan(
        self, phase: Phase, config: TrialConfig, *, like: LedgerTrial | None, reference: bool
    ) -> LedgerTrial:
        """Record a trial with a given configuration; `like` lends it Optuna's parameters."""
        lent = self._frozen(like) if like is not None else create_trial(state=TrialState.WAITING)
        bare = create_trial(
            state=TrialState.WAITING, params=lent.params, distributions=lent.distributions
        )
        trial = self._record(phase, bare, config, reference, like.key if like else "")
        if phase == "search" and self._suggestions is not None:
            self._suggestions.add(trial, bare)
        return trial

    def plan_heir(
        self, config: TrialConfig, parameters: Parameters, *, parent: str, instead_of: str
    ) -> LedgerTrial:
        """Record a trial that goes on from another's weights; see `LedgerTrial`."""
        params, distributions = parameters
        bare = create_trial(state=TrialState.WAITING, params=params, distributions=distributions)
        trial = LedgerTrial("search", -1, config, parent=parent, instead_of=instead_of)
        self._add(trial, bare)
        if self._suggestions is not None:
            self._suggestions.add(trial, bare)
        return trial

    def parameters(self, trial: LedgerTrial) -> Parameters:
        """By which suggestions a trial came about."""
        frozen = self._frozen(trial)
        return frozen.params, frozen.distributions

    def start(self, trial: LedgerTrial) -> None:
        """A worker takes the trial up, for the first time or again."""
        trial.status, trial.attempt = "running", trial.attempt + 1
        with self.journal.together():
            self._attr(trial, "attempt", trial.attempt)
            self._move(trial)

    def report(self, trial: LedgerTrial, epoch: int, metrics: dict[str, float]) -> None:
        """What is kept of an epoch's metrics; an epoch that was reported before stays as it was."""
        if epoch not in trial.reports:
            trial.reports[epoch] = kept(self.goal, metrics)
            with self.journal.together():
                self._layout.report(self._ids[trial.key], self.goal, epoch, trial.reports[epoch])

    def end(
        self, trial: LedgerTrial, status: Status, *, values: list[float] | None, reason: str
    ) -> None:
        """How the trial ended. A trial that has ended stays as it ended."""
        if trial.status in ENDED:
            return
        changed = reason != trial.reason
        trial.status, trial.values, trial.reason = status, values, reason
        with self.journal.together():
            if changed:
                self._attr(trial, "reason", reason)
            self._move(trial)
        if status in ENDED:
            del self.open[trial.key]
            if trial.phase == "search" and self._suggestions is not None:
                self._suggestions.ended(trial)

    def repeats(self, config: TrialConfig) -> set[int]:
        """Seeds with which this configuration was planned so far."""
        return self._repeats.get(config.fingerprint(), set())

    def commit(self) -> None:
        """Make all of the above survive a crash of the machine."""
        self.journal.commit()

    def close(self) -> None:
        """Commit and let another driver open the ledger."""
        self.journal.close()

    def _sampling(self) -> Suggestions:
        if self._suggestions is None:
            raise RuntimeError("use_sampler must be called before the ledger can suggest trials")
        return self._suggestions

    def _record(
        self, phase: Phase, frozen: FrozenTrial, config: TrialConfig, reference: bool, like: str
    ) -> LedgerTrial:
        trial = LedgerTrial(phase, -1, config, reference, like=like)
        self._add(trial, frozen)
        return trial

    def _add(self, trial: LedgerTrial, frozen: FrozenTrial) -> None:
        trial_id, trial.number = self._layout.add(trial, frozen)
        self._register(trial, trial_id)

    def _register(self, trial: LedgerTrial, trial_id: int) -> None:
        self.trials[trial.key] = trial
        self._ids[trial.key] = trial_id
        if trial.status not in ENDED:
            self.open[trial.key] = trial
        self.suggested += trial.suggested
        if trial.phase == "search":
            self._repeats.setdefault(trial.group, set()).add(trial.config.seed)

    def _fresh_seed(self, config: TrialConfig) -> TrialConfig:
        taken, seed = self.repeats(config), config.seed
        while seed in taken:
            seed += 1
        return config if seed == config.seed else config.model_copy(update={"seed": seed})

    def _attr(self, trial: LedgerTrial, name: str, value: Any) -> None:
        self.storage.set_trial_user_attr(self._ids[trial.key], name, value)

    def _move(self, trial: LedgerTrial) -> None:
        """Bring Optuna's state in line; attributes first, an ended trial takes none."""
        self._attr(trial, "status", trial.status)
        trial_id, state = self._ids[trial.key], OPTUNA_STATE[trial.status]
        if self.storage.get_trial(trial_id).state != state:
            self.storage.set_trial_state_values(trial_id, state, trial.values)

    def _frozen(self, trial: LedgerTrial) -> FrozenTrial:
        return self.storage.get_trial(self._ids[trial.key])

    def _load(self, phase: Phase) -> None:
        for frozen in self._layout.frozen(phase):
            attrs = frozen.user_attrs
            if "config" not in attrs:  # the driver died between asking and recording
                self._layout.discard(frozen)
                continue
            trial = LedgerTrial(
                phase,
                frozen.number,
                self._config(attrs["config"]),
                attrs.get("reference", False),
                attrs.get("status", "planned"),
                attrs.get("attempt", 0),
                attrs.get("reason", ""),
                self._layout.reports(frozen),
                frozen.values if frozen.state == TrialState.COMPLETE else None,
                attrs.get("like", ""),
                attrs.get("parent", ""),
                attrs.get("instead_of", ""),
                attrs.get("outside", False),
            )
            self._register(trial, frozen._trial_id)
            self._settle(trial, frozen)

    def _config(self, recorded: dict[str, Any]) -> TrialConfig:
        try:
            return TrialConfig.model_validate(recorded)
        except ValidationError as error:
            first = error.errors()[0]
            raise LedgerError(
                f"the ledger in {self.folder} holds a configuration of another version of this "
                f"program ({first['loc'][0]}: {first['msg']}): use that version, or start another "
                "--study"
            ) from error

    def _settle(self, trial: LedgerTrial, frozen: FrozenTrial) -> None:
        """A trial without an end was interrupted, whatever its last line says."""
        if frozen.state.is_finished():
            return
        trial.values = None
        if trial.status == "running":
            trial.reason = DRIVER_KILLED
            self._attr(trial, "reason", trial.reason)
        if trial.status != "planned":
            trial.status = "interrupted"
            self.open[trial.key] = trial  # also one whose end was torn off behind its status
            self._move(trial)


def study_folder(storage: Path, name: str) -> Path:
    """The folder of a study: its name, where a file system and the storage can take that.

    Otherwise what they refuse is replaced, and a hash tells apart what would become equal.
    """
    plain = re.sub(r"[^\w.-]", "_", name)
    taken = plain.lower().startswith(TAKEN)  # some file systems ignore case
    if plain == name and not taken and len(name.encode()) <= LONGEST_FOLDER:
        return storage / name
    before = storage / plain.lstrip(".")  # as it was called before there was a hash
    if before != storage and _holds(before / "ledger.journal", name):
        return before
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return storage / f"{plain.lstrip('.')[: LONGEST_FOLDER // 4]}-{digest}"


def _holds(journal: Path, name: str) -> bool:
    """Whether the ledger's first line creates a study of that name."""
    try:
        with journal.open("rb") as lines:
            return bool(json.loads(lines.readline()).get("study_name") == name)
    except (OSError, ValueError, AttributeError):
        return False
