"""The ledger: one source of truth per study, of what was planned, happened, and how it ended.

It is an Optuna storage with one Optuna study per phase; the statuses here are finer than Optuna's
and map onto them (`OPTUNA_STATE`). Only the driver writes it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError

from studies.definition import Direction
from studies.ledger.journal import Journal, LedgerError
from vae_trainables.config import TrialConfig

Status = Literal[
    "planned",
    "running",
    "finished",
    "pruned",
    "failed",
    "diverged",
    "out_of_memory",
    "worker_lost",
    "interrupted",
]
Phase = Literal["search", "confirm", "reference"]
CREATED = "vae-studies:created"
DRIVER_KILLED = "the driver was killed"
TAKEN = (".", "artifacts", "mlflow.db")  # beginnings of what else lies in a storage
LONGEST_FOLDER = 200  # bytes; file systems take 255

optuna.logging.set_verbosity(optuna.logging.WARNING)  # the ledger's own words are for the user

PHASES: tuple[Phase, ...] = ("search", "confirm", "reference")

OPTUNA_STATE: dict[Status, TrialState] = {
    "planned": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "interrupted": TrialState.WAITING,
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "diverged": TrialState.FAIL,
    "out_of_memory": TrialState.FAIL,
    "worker_lost": TrialState.FAIL,
}
FAILURES: frozenset[Status] = frozenset({"failed", "diverged", "out_of_memory", "worker_lost"})
ENDED: frozenset[Status] = FAILURES | {"finished", "pruned"}


@dataclass
class LedgerTrial:
    """One trial as the ledger knows it.

    reports: the pruning metric by epoch (1-based). values: the objectives, once finished.
    like: key of the search trial whose configuration this one repeats on another seed.
    """

    phase: Phase
    number: int
    config: TrialConfig
    reference: bool = False
    status: Status = "planned"
    attempt: int = 0
    reason: str = ""
    reports: dict[int, float] = field(default_factory=dict)
    values: list[float] | None = None
    like: str = ""

    @cached_property
    def group(self) -> str:
        """Equal for trials that differ in nothing but the seed."""
        return self.config.fingerprint()

    @property
    def extra_seed(self) -> bool:
        """True where the sampler did not suggest it: it averages `like` over seeds."""
        return self.phase == "search" and bool(self.like)

    @property
    def key(self) -> str:
        """The trial's name in folders and in the tracker: "0007", "confirm-0003"."""
        number = f"{self.number:04d}"
        return number if self.phase == "search" else f"{self.phase}-{number}"


class _Storage(JournalStorage):
    """Optuna's storage, in which `study.ask` does not find what the ledger has planned.

    For `ask` any waiting trial is a suggestion that somebody enqueued: it would begin anew what
    waits here for a worker, or to be continued. And it would look through all trials for one.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.planned: set[int] = set()  # ids of the trials in the ledger
        self._enqueued: list[int] = []  # since it was opened: opening leaves none

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        if template_trial is not None and template_trial.state == TrialState.WAITING:
            self._enqueued.append(trial_id)
        return trial_id

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        if states != (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy, states)
        self._enqueued = [trial_id for trial_id in self._enqueued if trial_id not in self.planned]
        found = map(self.get_trial, self._enqueued)
        return [trial for trial in found if trial.state == TrialState.WAITING]


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
        self._studies: dict[Phase, optuna.Study] = {}
        self._repeats: dict[str, set[int]] = {}
        try:
            self.storage = _Storage(self.journal)
            for summary in optuna.get_all_study_summaries(self.storage, include_best_trial=False):
                self._load(summary.study_name)
        except BaseException:
            self.journal.close()  # nobody else would let go of the lock
            raise

    @property
    def exists(self) -> bool:
        """True once the study has been created with all its facts."""
        if "search" not in self._studies:
            return False
        return CREATED in self.storage.get_study_system_attrs(self._studies["search"]._study_id)

    def create(self, directions: Iterable[Direction], facts: dict[str, Any]) -> None:
        """Create the study; `facts` is what `facts()` returns ever after."""
        directions = list(directions)
        with self.journal.together():
            for phase in PHASES:
                study = optuna.create_study(
                    study_name=_optuna_name(self.name, phase),
                    storage=self.storage,
                    directions=directions,
                    load_if_exists=True,  # half a creation, after a crash in its midst
                )
                self._studies[phase] = study
            self.set_facts(facts)
            search = self._studies["search"]._study_id
            self.storage.set_study_system_attr(search, CREATED, True)  # last: all is there
        self.commit()

    def facts(self) -> dict[str, Any]:
        """What was recorded about the study: space, data, versions, settings."""
        return dict(self._studies["search"].user_attrs)

    def set_facts(self, facts: dict[str, Any]) -> None:
        """Record or replace facts about the study."""
        for name, value in facts.items():
            self._studies["search"].set_user_attr(name, value)

    def use_sampler(self, sampler: optuna.samplers.BaseSampler) -> None:
        """The sampler that `ask` uses from now on."""
        self._studies["search"].sampler = sampler

    def enqueue(self, params: dict[str, Any]) -> None:
        """Let the next `ask` suggest exactly `params`."""
        self._studies["search"].enqueue_trial(params)

    def ask(
        self, configure: Callable[[optuna.Trial], TrialConfig], reference: TrialConfig
    ) -> LedgerTrial:
        """Suggest and record a new search trial.

        An exact repeat of an earlier configuration becomes another seed of it.
        """
        with self.journal.together():
            trial = self._studies["search"].ask()
            config = self._fresh_seed(configure(trial))
            is_reference = config.fingerprint() == reference.fingerprint()
            return self._record("search", trial.number, trial._trial_id, config, is_reference, "")

    def plan(
        self, phase: Phase, config: TrialConfig, *, like: LedgerTrial | None, reference: bool
    ) -> LedgerTrial:
        """Record a trial with a given configuration; `like` lends it Optuna's parameters."""
        lent = self._frozen(like) if like is not None else None
        waiting = create_trial(
            state=TrialState.WAITING,
            params=lent.params if lent else {},
            distributions=lent.distributions if lent else {},
        )
        with self.journal.together():
            study = self._studies[phase]
            trial_id = self.storage.create_new_trial(study._study_id, template_trial=waiting)
            number = self.storage.get_trial(trial_id).number
            lender = like.key if like else ""
            return self._record(phase, number, trial_id, config, reference, lender)

    def start(self, trial: LedgerTrial) -> None:
        """A worker takes the trial up, for the first time or again."""
        trial.status, trial.attempt = "running", trial.attempt + 1
        with self.journal.together():
            self._attr(trial, "attempt", trial.attempt)
            self._move(trial)

    def report(self, trial: LedgerTrial, epoch: int, value: float) -> None:
        """The pruning metric after `epoch`; an epoch that was reported before stays as it was."""
        if epoch not in trial.reports:
            trial.reports[epoch] = value
            self.storage.set_trial_intermediate_value(self._ids[trial.key], epoch, value)

    def end(
        self, trial: LedgerTrial, status: Status, *, values: list[float] | None, reason: str
    ) -> None:
        """How the trial ended. A trial that has ended stays as it ended."""
        if trial.status in ENDED:
            return
        trial.status, trial.values, trial.reason = status, values, reason
        if status in ENDED:
            del self.open[trial.key]
        with self.journal.together():
            self._attr(trial, "reason", reason)
            self._move(trial)

    def repeats(self, config: TrialConfig) -> set[int]:
        """Seeds with which this configuration was planned so far."""
        return self._repeats.get(config.fingerprint(), set())

    def commit(self) -> None:
        """Make all of the above survive a crash of the machine."""
        self.journal.commit()

    def close(self) -> None:
        """Commit and let another driver open the ledger."""
        self.journal.close()

    def _record(
        self,
        phase: Phase,
        number: int,
        trial_id: int,
        config: TrialConfig,
        reference: bool,
        like: str,
    ) -> LedgerTrial:
        trial = LedgerTrial(phase, number, config, reference, like=like)
        self._register(trial, trial_id)
        self._attr(trial, "reference", reference)
        self._attr(trial, "like", like)
        self._attr(trial, "status", trial.status)
        self._attr(trial, "config", config.model_dump(mode="json"))  # last: the record is whole
        return trial

    def _register(self, trial: LedgerTrial, trial_id: int) -> None:
        self.trials[trial.key] = trial
        self._ids[trial.key] = trial_id
        self.storage.planned.add(trial_id)
        if trial.status not in ENDED:
            self.open[trial.key] = trial
        self.suggested += trial.phase == "search" and not trial.like
        if trial.phase == "search":
            self._repeats.setdefault(trial.group, set()).add(trial.config.seed)

    def _fresh_seed(self, config: TrialConfig) -> TrialConfig:
        taken, seed = self.repeats(config), config.seed
        while seed in taken:
            seed += 1
        return config.model_copy(update={"seed": seed})

    def _attr(self, trial: LedgerTrial, name: str, value: Any) -> None:
        self.storage.set_trial_user_attr(self._ids[trial.key], name, value)

    def _move(self, trial: LedgerTrial) -> None:
        """Bring Optuna's state in line; attributes first, an ended trial takes none."""
        self._attr(trial, "status", trial.status)
        trial_id, state = self._ids[trial.key], OPTUNA_STATE[trial.status]
        values = trial.values
        if state == TrialState.PRUNED and len(self._studies[trial.phase].directions) == 1:
            values = [trial.reports[max(trial.reports)]] if trial.reports else None
        if self.storage.get_trial(trial_id).state != state:
            self.storage.set_trial_state_values(trial_id, state, values)

    def _frozen(self, trial: LedgerTrial) -> FrozenTrial:
        return self.storage.get_trial(self._ids[trial.key])

    def _load(self, optuna_name: str) -> None:
        phase = next((p for p in PHASES if _optuna_name(self.name, p) == optuna_name), None)
        if phase is None:
            raise LedgerError(
                f"{self.folder} holds the study {optuna_name!r}, not {self.name!r}: the two names "
                "give the same folder; choose another --study or --storage"
            )
        study = optuna.load_study(study_name=optuna_name, storage=self.storage)
        self._studies[phase] = study
        for frozen in study.get_trials(deepcopy=False):
            attrs = frozen.user_attrs
            if "config" not in attrs:  # the driver died between asking and recording
                self._discard(frozen)
                continue
            trial = LedgerTrial(
                phase,
                frozen.number,
                self._config(attrs["config"]),
                attrs.get("reference", False),
                attrs.get("status", "planned"),
                attrs.get("attempt", 0),
                attrs.get("reason", ""),
                dict(frozen.intermediate_values),
                frozen.values,
                attrs.get("like", ""),
            )
            self._register(trial, frozen._trial_id)
            self._settle(trial, frozen)

    def _config(self, found: dict[str, Any]) -> TrialConfig:
        try:
            return TrialConfig.model_validate(found)
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

    def _discard(self, frozen: FrozenTrial) -> None:
        if not frozen.state.is_finished():
            self.storage.set_trial_state_values(frozen._trial_id, TrialState.FAIL)


def _optuna_name(name: str, phase: Phase) -> str:
    return name if phase == "search" else f"{name} [{phase}]"


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
