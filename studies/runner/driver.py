"""A study from flags to exit code: check, start Ray, open, run."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.definition import StudyDefinition
from studies.ledger.ledger import study_folder
from studies.runner import address, capacity, cluster, fitting, planning, preflight, warm_start
from studies.runner import resuming as opening
from studies.runner.console import Console
from studies.runner.data import Images, find
from studies.runner.interrupts import StopRequest
from studies.runner.settings import Settings
from studies.tracker import earlier
from studies.tracker.line import dismiss, start_sender
from studies.tracker.location import artifact_location
from studies.workers.importing import uncollected

if TYPE_CHECKING:
    from vae_trainables.datasets.splits import TrialData


def run_study(definition: StudyDefinition, settings: Settings, stop: StopRequest) -> int:
    """Run or resume the study; the exit code. Raises StudyError with a line for the user.

    Raises StudyStopped on a signal before the study is open. What trains needs torch and Tune,
    seconds to import, but bad flags do not. With a Ray of our own that is done while its workers
    do the same; a job does it before it connects, for its copy of the code may go then.
    """
    address.check(settings, definition.command)
    images = find(definition, settings)
    settings = images.settings
    plan = planning.make_plan(definition, settings, images.facts)
    at_once = capacity.before_start(plan) if cluster.is_own(settings) else capacity.Workers(0)
    uri = settings.address_of_tracker
    preflight.storage_is_writable(settings.storage)
    preflight.tracker_answers(uri)
    folder = study_folder(settings.storage.absolute(), plan.name)
    opening.check_folder(plan, folder)
    new = not (folder / "ledger.journal").exists()
    console = Console(plan)
    for remark in fitting.remarks(plan.reference, images.facts, images.remarks):
        console.say(f"data: {remark}")
    artifacts = artifact_location(uri, folder)
    data = None if cluster.is_own(settings) else _load(plan, images, stop)
    ray = cluster.connected(settings, stop, at_once.count * settings.threads, console.say)
    with _sender(folder / "spool", uri, plan.name, artifacts) as sender, ray:
        stop.listen()
        if at_once.remark:
            console.say(f"note: {at_once.remark}")
        data = data or _load(plan, images, stop)
        cluster.check(settings, uri)  # nothing is written before
        preflight.tracker_takes(sender, uri, plan.name, new=new)
        facts = opening.facts(plan, data)
        if settings.warm_start and new:
            facts |= _warm_start(plan, facts, uri, console)
        if settings.dry_run or (settings.budget and new):
            console.say(_forecast(plan, data, at_once.count))
        if settings.dry_run:
            console.say("dry run: everything is in place, nothing was started")
            return 0
        opened = opening.open_ledger(plan, folder, facts)
        with opened as (ledger, remark):
            if remark:
                console.say(f"note: {remark}")
            from studies.runner import run

            opened_run = run.Run(
                plan, data, ledger, folder, uri, artifacts, console, stop, sender, at_once
            )
            return opened_run.run()


def _warm_start(
    plan: planning.Plan, facts: dict[str, Any], uri: str, console: Console
) -> dict[str, Any]:
    """What the ledger remembers of the studies that the search begins with; said."""
    studies = earlier.read(uri, warm_start.named(plan.settings.warm_start))
    taken, remarks = warm_start.taken(plan, facts["data"], facts["code"], studies)
    for remark in remarks:
        console.say(remark)
    return {warm_start.FACT: taken}


def _forecast(plan: planning.Plan, data: TrialData, workers: int) -> str:
    """What it will take; workers: on a Ray of our own, 0: as many as the cluster has room for."""
    from studies.runner import forecast  # torch

    cores = 0 if workers else cluster.cores(plan.settings)
    workers = workers or capacity.before_start(plan, cores).count
    return forecast.words(plan, data, workers)


@contextmanager
def _sender(spool: Path, uri: str, study: str, artifacts: str | None) -> Iterator[socket.socket]:
    """The line to a sender, started ahead: it tries the tracker while the rest gets ready."""
    sender = start_sender(spool, uri, study, artifacts)
    try:
        yield sender
    finally:
        dismiss(sender)


def _load(plan: planning.Plan, images: Images, stop: StopRequest) -> TrialData:
    """The data, which what is to be trained must fit, and with it all that trains."""
    with stop.entire(), uncollected():
        from studies.runner import run

    return run.load_data(plan, images.source)
