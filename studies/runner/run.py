"""An opened study, from its first trial to its last line: train, close, say where to look."""

from __future__ import annotations

import math
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from studies.errors import InputError, StudyStopped
from studies.ledger.journal import LedgerError
from studies.ledger.ledger import ENDED, Ledger, LedgerTrial, Phase
from studies.runner import (
    capacity,
    cluster,
    confirmation,
    fitness,
    planning,
    publication,
    warm_start,
)
from studies.runner.console import Console
from studies.runner.course import Course
from studies.runner.interrupts import StopRequest
from studies.runner.planning import Plan
from studies.runner.settings import Settings
from studies.runner.spending import Spending
from studies.scheduling.desk import Desk, Limits, announce, attach_weights
from studies.tracker import names
from studies.tracker.spool import SpoolError
from studies.tracker.tracker import Tracker
from studies.workers import cohorts, tuning, verdict
from studies.workers.replacing import replaced
from studies.workers.trainable import TrialTrainable, pack
from vae_trainables import checkpoint, datasets
from vae_trainables.cohort import Ways
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.helpers import with_helpers

UNDELIVERED = 3  # exit code: all is trained, but the tracker does not hold it
FAREWELL_S = 5.0  # how long a stopped study waits for a tracker that does not move


def ways_of(settings: Settings) -> Ways:
    """How cohorts train, as the flags ask for; where they leave it open, as the doctor said."""
    convolution = settings.convolution
    if convolution == "auto":
        convolution = verdict.read(settings.storage).convolution
    return Ways(convolution) if cohort_way(settings) == "auto" else Ways.plain(convolution)


def cohort_way(settings: Settings) -> verdict.CohortWay:
    """The flag, or what the doctor said where that is "auto"."""
    return verdict.read(settings.storage).cohort if settings.cohort == "auto" else settings.cohort


def load_data(plan: Plan, source: datasets.Source | None = None) -> TrialData:
    """Train and validation images; the test split only where a phase will open it.

    source: where they come from; None: the published set that the plan names. Raises InputError
    where they cannot be read, or what is to be trained does not fit them: before nets that judge
    are trained on them, which takes minutes.
    """
    settings = plan.settings
    opens_test = any(phase != "search" for phase in phases(settings))
    splits = ("train", "val", "test") if opens_test else ("train", "val")
    try:
        source = source or datasets.open_source(
            plan.reference.data.dataset, data_dir=settings.data_dir
        )
        images = replace(source, binarise=plan.reference.data.binarise).splits(splits)
    except datasets.DataError as error:
        raise InputError(str(error)) from error
    data = TrialData(images["train"], images["val"], images.get("test"))
    fitness.check(plan, data)
    return with_helpers(data, [*planning.suggestions(plan), *plan.companions])


def phases(settings: Settings) -> list[Phase]:
    """What this run does, in order."""
    if settings.reference:
        return ["reference"]
    if settings.confirm_only:
        return ["confirm"]
    return ["search", "confirm"] if settings.confirm_top else ["search"]


@dataclass
class Run:
    """An opened study, until its last line."""

    plan: Plan
    data: TrialData
    ledger: Ledger
    folder: Path
    uri: str
    artifacts: str | None
    """Where a tracker without a server keeps the artifacts."""
    console: Console
    stop: StopRequest
    sender: socket.socket
    """The line to a sender that was started ahead."""
    announced: capacity.Workers | None = None
    """Of how many workers the user has been told already."""
    began: float = field(default_factory=time.monotonic)
    course: Course = field(init=False)
    spending: Spending = field(init=False)

    def run(self) -> int:
        """Train what is left to train; close everything however it ends."""
        spool, name = self.folder / "spool", self.plan.name
        data = publication.data_sets(self.plan, self.data)
        tracker = Tracker(spool, self.uri, name, self.artifacts, self.sender, data)
        self.spending = Spending(
            self.ledger,
            epochs=self.plan.reference.budget.epochs,
            seeds=self.plan.settings.seeds,
        )
        self.course = Course(tracker, self.ledger, self.plan, self.spending)
        outcome, code, patience = "failed", 1, FAREWELL_S
        try:
            settings = self.plan.settings.asked()
            tracker.study(publication.study_tags(self.plan), settings, publication.note(self.plan))
            self._repair(tracker)
            publication.publish(tracker, self.plan, self.data, self.folder)
            self._settle_down()
            for phase in phases(self.plan.settings):
                self._phase(phase, tracker)
            tracker.flush()  # while a core is idle
            cluster.release(self.plan.settings)
            publication.publish_baselines(tracker, self.plan, self.data, self.folder)
            outcome, code, patience = "finished", 0, 10 * FAREWELL_S
        except StudyStopped as stopped:
            outcome, code = stopped.reason, self.stop.exit_code
        finally:
            undelivered = self._close(tracker, outcome, patience)
        delivered = tracker.state()
        for remark in delivered.notes:
            self.console.say(f"note: MLflow: {remark}")
        self.console.farewell(outcome, self.uri, undelivered, self.ledger, delivered.experiment)
        return UNDELIVERED if undelivered and code == 0 else code

    def _settle_down(self) -> None:
        """Depend on no folder but the study's: a job's own may go with the last of its workers.

        From here on nothing relative is looked for. A notebook's folder is its user's.
        """
        if self.stop.owns_process and not cluster.is_own(self.plan.settings):
            os.chdir(self.folder)

    def _phase(self, phase: Phase, tracker: Tracker) -> None:
        """Train all trials of one phase. A search is not given the test split."""
        desk = self._desk(phase, tracker)
        data = replace(self.data, test=None) if phase == "search" else self.data
        self.console.watch(self.ledger, self.spending)
        self.spending.resume()
        self.stop.at_once = False
        try:
            ready = cluster.keeps_workers_ready(self.plan.settings)
            with replaced(tuning.WAITING if ready else ()):
                self._train(desk, pack(data), phase)
            if desk.stop_reason:
                raise StudyStopped(desk.stop_reason)
            if desk.under_way or desk.next() is not None:
                raise StudyStopped("all workers were lost, and trials are left to do")
        except StudyStopped as stopped:
            self._interrupt(desk, stopped.reason)
            raise
        except BaseException as error:
            self._interrupt(desk, f"the driver failed: {type(error).__name__}")
            raise
        finally:
            self.console.stop_watching()
            self._last_point()
            self.stop.at_once = True

    def _train(self, desk: Desk, data: dict[str, Any], phase: Phase) -> None:
        """Cohorts on GPUs, or where slots are asked for; else one configuration per worker.

        Where trials wait for each other, workers are those of cohorts too, with a slot each: Tune
        keeps one process at most that has no trial, and starts the others anew, seconds each.
        """
        settings = self.plan.settings
        device = "cuda" if settings.gpus else "cpu"
        source = self.plan.source_text()
        resources = {"cpu": float(settings.threads), "gpu": 1.0 if settings.gpus else 0.0}
        workers = self._workers(phase)
        waits = bool(desk.pruner and desk.pruner.pauses) and settings.trial_memory_gb is None
        together = bool(settings.gpus) or settings.slots is not None
        if together or waits:
            cohorts.run(
                desk,
                data=data,
                device=device,
                slots=settings.slots if together else 1,
                like=planning.suggestions(self.plan),
                workers=workers,
                resources=resources,
                source=source,
                ways=ways_of(settings),
                stacked=together and cohort_way(settings) != "off",
            )
            return
        tuning.run(
            desk,
            TrialTrainable,
            parameters={
                "data": data,
                "device": device,
                "memory_gb": settings.trial_memory_gb,
                "source": source,
            },
            resources=resources,
            concurrent=workers,
        )

    def _workers(self, phase: Phase) -> int:
        """How many train what is left of the phase; said where it was asked for otherwise."""
        left = capacity.trials_left(self.plan, self.ledger, phase)
        settings = self.plan.settings
        workers = capacity.workers(settings, cores=cluster.cores(settings), left=left)
        if left and workers.remark and workers != self.announced:
            self.console.say(f"note: {workers.remark}")
        self.announced = workers
        return workers.count

    def _desk(self, phase: Phase, tracker: Tracker) -> Desk:
        settings, plan, ledger, course = self.plan.settings, self.plan, self.ledger, self.course
        spending, rule = self.spending, None
        match phase:
            case "search":
                first = warm_start.begin(plan, ledger)
                room = partial(spending.has_room, settings.search_budget)
                rule = plan.pruner(ledger.trials)
                source = planning.search_source(plan, ledger, room, first, rule)
            case "confirm":
                runs = planning.confirmation_runs(plan, ledger)
                source = planning.fixed_source(ledger, phase, runs)
            case "reference":
                runs = planning.reference_runs(plan)
                source = planning.fixed_source(ledger, phase, runs)

        def watch() -> None:
            self.stop.check()
            if phase == "search":
                spending.tick()
            self.console.tick()
            course.tick()

        return Desk(
            ledger,
            tracker,
            folder=self.folder,
            source=source,
            objectives=plan.objectives,
            prune_on=plan.definition.prune_on,
            pruner=rule,
            limits=Limits(
                failures_in_a_row=settings.max_failures,
                worker_retries=settings.worker_retries,
                time_budget_s=settings.time_budget or math.inf,
                deadline=self.began + (settings.time_budget or math.inf),
            ),
            tags=publication.trial_tags(plan),
            backlog=[t for t in ledger.open.values() if t.phase == phase],
            watch=watch,
            say=self.console.say,
        )

    def _repair(self, tracker: Tracker) -> None:
        """What a driver that was killed could not do: tell of its end, remove checkpoints.

        And what a failing disk has taken from the spool, as far as the ledger holds it.
        """
        for line in tracker.damaged:
            self.console.say(
                f"note: {line}: a disk has changed what was written; what the line said is told "
                "again as far as the ledger holds it, a finished trial's epoch may be missing in "
                "MLflow"
            )
        for trial in self.ledger.trials.values():
            if trial.attempt and tracker.last_status(trial.key) is None:
                announce(tracker, trial, publication.trial_tags(self.plan))
            if trial.status in ENDED:
                self._tell_end(tracker, trial)
                checkpoint.discard(self.folder / "trials" / trial.key)
            elif trial.attempt:
                tracker.ended(trial.key, "interrupted", trial.reason)

    def _tell_end(self, tracker: Tracker, trial: LedgerTrial) -> None:
        """The ledger calls a trial ended: the spool must do so too."""
        if trial.attempt and tracker.last_status(trial.key) != trial.status:
            if trial.status == "finished":
                attach_weights(tracker, trial, self.folder / "trials" / trial.key)
            tracker.ended(trial.key, trial.status, trial.reason)

    def _last_point(self) -> None:
        """Of the study's course, after a phase; where it cannot be written, the end will say so."""
        with suppress(LedgerError, SpoolError):
            self.course.point()
            self.spending.write()

    def _interrupt(self, desk: Desk, reason: str) -> None:
        """Note down what was under way; where that fails, the next start finds it out."""
        try:
            desk.interrupt(reason)
        except (LedgerError, SpoolError) as error:
            self.console.say(f"note: {error}")

    def _tell_confirmation(self, tracker: Tracker) -> None:
        """What MLflow's tables and comparisons of studies show of it, if there was any."""
        confirmed = confirmation.judged(self.plan, self.ledger)
        if confirmed is None:
            return
        epochs = sum(trial.trained for trial in self.ledger.trials.values())
        tracker.result(epochs, confirmation.figures(confirmed))
        winner = confirmed.winner.configuration
        against = confirmed.comparison(winner)
        conclusion = "the reference itself" if against is None else against.conclusion
        tracker.tags("", {names.WINNER: winner, names.VERDICT: conclusion})

    def _close(self, tracker: Tracker, outcome: str, patience: float) -> str:
        """Close the parent run and the spool; what could not be delivered, or written."""
        status = "finished" if outcome == "finished" else "interrupted"
        self.stop.at_once = False  # a signal finds nothing to leave half done any more
        try:
            self._tell_confirmation(tracker)
            tracker.tags("", {names.NOTE: publication.note(self.plan, self.ledger)})
            tracker.ended("", status, "" if outcome == "finished" else outcome)
            undelivered = tracker.close(patience)
            self.ledger.set_facts({"mlflow_runs": tracker.state().runs or {}})
        except (LedgerError, SpoolError) as error:
            return str(error)
        return undelivered
