"""A study from flags to exit code: check, start Ray, open, run."""

from __future__ import annotations

from studies.definition import StudyDefinition
from studies.runner import cluster, opening, planning, preflight
from studies.runner.console import Console
from studies.runner.interrupts import StopRequest
from studies.runner.ledger import study_folder
from studies.runner.settings import Settings


def run_study(definition: StudyDefinition, settings: Settings, stop: StopRequest) -> int:
    """Run or resume the study; the exit code. Raises StudyError with a line for the user.

    Raises StudyStopped on a signal before the study is open. What trains needs torch and Tune,
    seconds to import, but bad flags do not. All of it is imported before Ray is there: a job's copy
    of the code may go once it has connected, and a signal during Ray's start is answered late.
    """
    plan = planning.make_plan(definition, settings)
    uri = settings.tracking_uri or f"sqlite:///{settings.storage.absolute()}/mlflow.db"
    preflight.storage_is_writable(settings.storage)
    preflight.tracker_answers(uri)
    folder = study_folder(settings.storage.absolute(), plan.name)
    opening.check_folder(plan, folder)
    if not (folder / "ledger.journal").exists():
        preflight.study_is_new(uri, plan.name)
    console = Console(plan)
    from studies.runner import run

    data = run.load_data(plan)
    with cluster.connected(settings):
        stop.listen()
        cluster.check(settings, uri)  # nothing is written before
        if settings.dry_run:
            console.say("dry run: everything is in place, nothing was started")
            return 0
        opened = opening.open_ledger(plan, folder, opening.facts(plan, data))
        with opened as (ledger, remark):
            if remark:
                console.say(f"note: {remark}")
            return run.Run(plan, data, ledger, folder, uri, console, stop).run()
