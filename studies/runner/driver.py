"""A study from flags to exit code: check, start Ray, open, run."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from studies.definition import StudyDefinition
from studies.ledger.ledger import study_folder
from studies.runner import cluster, planning, preflight
from studies.runner import resuming as opening
from studies.runner.console import Console
from studies.runner.interrupts import StopRequest
from studies.runner.settings import Settings
from studies.tracker.line import start_sender
from studies.workers.importing import uncollected

if TYPE_CHECKING:
    from vae_trainables.datasets.splits import TrialData


def run_study(definition: StudyDefinition, settings: Settings, stop: StopRequest) -> int:
    """Run or resume the study; the exit code. Raises StudyError with a line for the user.

    Raises StudyStopped on a signal before the study is open. What trains needs torch and Tune,
    seconds to import, but bad flags do not. With a Ray of our own that is done while its workers
    do the same; a job does it before it connects, for its copy of the code may go then.
    """
    plan = planning.make_plan(definition, settings)
    uri = settings.address_of_tracker
    preflight.storage_is_writable(settings.storage)
    preflight.tracker_answers(uri)
    folder = study_folder(settings.storage.absolute(), plan.name)
    opening.check_folder(plan, folder)
    if not (folder / "ledger.journal").exists():
        preflight.study_is_new(uri, plan.name)
    console = Console(plan)
    ahead = nullcontext() if settings.dry_run else start_sender(folder / "spool", uri)
    data = None if cluster.is_own(settings) else _load(plan)
    with ahead as sender, cluster.connected(settings, stop):
        stop.listen()
        data = data or _load(plan)
        cluster.check(settings, uri)  # nothing is written before
        if settings.dry_run:
            console.say("dry run: everything is in place, nothing was started")
            return 0
        opened = opening.open_ledger(plan, folder, opening.facts(plan, data))
        with opened as (ledger, remark):
            if remark:
                console.say(f"note: {remark}")
            from studies.runner import run

            return run.Run(plan, data, ledger, folder, uri, console, stop, sender).run()


def _load(plan: planning.Plan) -> TrialData:
    """The data, and with it all that trains."""
    with uncollected():
        from studies.runner import run

    return run.load_data(plan)
