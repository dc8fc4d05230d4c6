"""An opened study, from its first trial to its last line: train, close, say where to look."""

from __future__ import annotations

import math
import socket
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from studies.errors import InputError, StudyStopped
from studies.ledger.journal import LedgerError
from studies.ledger.ledger import ENDED, Ledger, Phase
from studies.runner import cluster, planning, publication
from studies.runner.console import Console
from studies.runner.interrupts import StopRequest
from studies.runner.planning import Plan
from studies.runner.settings import Settings
from studies.scheduling.desk import Desk, Limits
from studies.tracker import names
from studies.tracker.spool import SpoolError
from studies.tracker.tracker import Tracker
from studies.workers import cohorts, tuning, verdict
from studies.workers.replacing import replaced
from studies.workers.trainable import TrialTrainable, pack
from vae_trainables import checkpoint, datasets
from vae_trainables.cohort import Ways
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation import features

FAREWELL_S = 5.0  # how long a stopped study waits for a tracker that does not move


def ways_of(settings: Settings) -> Ways:
    """How cohorts train, as the flags ask for."""
    convolution = settings.convolution
    if convolution == "auto":
        convolution = verdict.convolution(settings.storage)
    return Ways(convolution) if settings.cohort == "auto" else Ways.plain(convolution)


def load_data(plan: Plan) -> TrialData:
    """Train and validation images; the test split only where a phase will open it."""
    settings = plan.settings
    opens_test = any(phase != "search" for phase in phases(settings))
    splits = ("train", "val", "test") if opens_test else ("train", "val")
    try:
        found = datasets.load_splits(plan.reference.dataset, splits, settings.data_dir)
    except datasets.DataError as error:
        raise InputError(str(error)) from error
    net = None
    if "frechet" in plan.reference.evaluations:
        net = dict(features.feature_net(found["train"]).net.state_dict())
    return TrialData(found["train"], found["val"], found.get("test"), net)


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
    console: Console
    stop: StopRequest
    sender: socket.socket | None
    """The line to a sender that was started ahead."""
    began: float = field(default_factory=time.monotonic)

    def run(self) -> int:
        """Train what is left to train; close everything however it ends."""
        spool, name = self.folder / "spool", self.plan.name
        tracker = Tracker(spool, self.uri, name, self._artifacts(), self.sender)
        outcome, code, patience = "failed", 1, FAREWELL_S
        try:
            tracker.study(publication.study_tags(self.plan), {}, publication.note(self.plan))
            self._repair(tracker)
            publication.publish(tracker, self.plan, self.data, self.folder)
            for phase in phases(self.plan.settings):
                self._phase(phase, tracker)
            tracker.flush()  # while a core is idle
            cluster.release(self.plan.settings)
            for split in ("val", "test"):
                publication.publish_baselines(tracker, self.plan, self.data, self.folder, split)
            outcome, code, patience = "finished", 0, 10 * FAREWELL_S
        except StudyStopped as stopped:
            outcome, code = stopped.reason, self.stop.exit_code
        finally:
            undelivered = self._close(tracker, outcome, patience)
        self.console.farewell(outcome, self.uri, undelivered, self.ledger)
        return code

    def _phase(self, phase: Phase, tracker: Tracker) -> None:
        """Train all trials of one phase. A search is not given the test split."""
        desk = self._desk(phase, tracker)
        data = replace(self.data, test=None) if phase == "search" else self.data
        self.console.watch(self.ledger)
        self.stop.at_once = False
        try:
            ready = cluster.keeps_workers_ready(self.plan.settings)
            with replaced(tuning.WAITING if ready else ()):
                self._train(desk, pack(data))
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
            self.stop.at_once = True

    def _train(self, desk: Desk, data: dict[str, Any]) -> None:
        """Cohorts on GPUs, or where slots are asked for; else one configuration per worker."""
        settings = self.plan.settings
        device = "cuda" if settings.gpus else "cpu"
        resources = {"cpu": float(settings.threads), "gpu": 1.0 if settings.gpus else 0.0}
        workers = cluster.concurrent_trials(settings)
        if settings.gpus or settings.slots is not None:
            cohorts.run(
                desk,
                data=data,
                device=device,
                slots=settings.slots,
                latent_dim=planning.widest_latent(self.plan),
                keys=planning.fusion_keys(self.plan),
                workers=workers,
                resources=resources,
                ways=ways_of(settings),
                stacked=settings.cohort != "off",
            )
            return
        tuning.run(
            desk,
            TrialTrainable,
            parameters={"data": data, "device": device, "memory_gb": settings.trial_memory_gb},
            resources=resources,
            concurrent=workers,
        )

    def _desk(self, phase: Phase, tracker: Tracker) -> Desk:
        settings, plan, ledger = self.plan.settings, self.plan, self.ledger
        match phase:
            case "search":
                ledger.use_sampler(plan.sampler(ledger.suggested))
                source = planning.search_source(plan, ledger)
            case "confirm":
                wanted = planning.confirmation_runs(plan, ledger)
                source = planning.fixed_source(ledger, phase, wanted)
            case "reference":
                wanted = planning.reference_runs(plan)
                source = planning.fixed_source(ledger, phase, wanted)

        def watch() -> None:
            self.stop.check()
            self.console.tick()

        return Desk(
            ledger,
            tracker,
            folder=self.folder,
            source=source,
            objectives=plan.objectives,
            prune_on=plan.definition.prune_on,
            pruner=plan.pruner() if phase == "search" else None,
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
        """What a driver that was killed could not do: tell of its end, remove checkpoints."""
        for trial in self.ledger.trials.values():
            if trial.status in ENDED:
                checkpoint.discard(self.folder / "trials" / trial.key)
            elif trial.attempt:
                tracker.ended(trial.key, "interrupted", trial.reason)

    def _interrupt(self, desk: Desk, reason: str) -> None:
        """Note down what was under way; where that fails, the next start finds it out."""
        try:
            desk.interrupt(reason)
        except (LedgerError, SpoolError) as error:
            self.console.say(f"note: {error}")

    def _close(self, tracker: Tracker, outcome: str, patience: float) -> str:
        """Close the parent run and the spool; what could not be delivered, or written."""
        status = "finished" if outcome == "finished" else "interrupted"
        self.stop.at_once = False  # a signal finds nothing to leave half done any more
        try:
            tracker.tags("", {names.NOTE: publication.note(self.plan, self.ledger)})
            tracker.ended("", status, "" if outcome == "finished" else outcome)
            undelivered = tracker.close(patience)
            self.ledger.set_facts({"mlflow_runs": tracker.state().runs or {}})
        except (LedgerError, SpoolError) as error:
            return str(error)
        return undelivered

    def _artifacts(self) -> str | None:
        """Where the embedded tracker keeps artifacts; a server knows itself."""
        if not self.uri.startswith("sqlite"):
            return None
        return (self.plan.settings.storage.absolute() / "artifacts" / self.folder.name).as_uri()
