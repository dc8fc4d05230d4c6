"""What the user sees while a study runs, and the last lines that say where to look."""

from __future__ import annotations

import shlex
import sys
import time

from rich.console import Console as RichConsole
from rich.live import Live
from rich.table import Table
from rich.text import Text

from studies.ledger.ledger import Ledger, LedgerTrial
from studies.runner import confirmation
from studies.runner.planning import Plan, ranking
from studies.runner.provenance import command
from studies.runner.spending import Spending
from studies.tracker.address import redact
from studies.tracker.pages import table
from studies.tracker.progress import (
    LINE_EVERY_S,
    REFRESH_S,
    UNKNOWN,
    Asked,
    Progress,
    TrialProgress,
    as_line,
    as_table,
    next_steps,
)


class Console:
    """A live table on a terminal, a line now and then elsewhere."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.out = RichConsole(highlight=False, soft_wrap=True)
        self.live: Live | _Cell | None = None
        self.ledger: Ledger | None = None
        self.spending: Spending | None = None
        self._began = time.monotonic()
        self._next = 0.0
        self._epochs_before = 0
        self._hours = 0.0
        self._counted = self._began

    def say(self, text: str) -> None:
        """A line of its own."""
        self.out.print(text, markup=False)

    def watch(self, ledger: Ledger, spending: Spending | None = None) -> None:
        """Begin to show the progress of a phase; spending: of the search's budget."""
        self.ledger, self.spending = ledger, spending
        self._epochs_before = _epochs(ledger)
        self._began = self._counted = time.monotonic()
        if self.out.is_jupyter:
            self.live = _Cell()
        elif self.out.is_terminal:
            self.live = Live(console=self.out, auto_refresh=False, transient=True)
            self.live.start()

    def tick(self) -> None:
        """Called often; shows something new now and then."""
        now = time.monotonic()
        if self.ledger is None:
            return
        self._count_hours(self.ledger, now)
        if now < self._next:
            return
        if self.live is not None:
            self._next = now + REFRESH_S
            self.live.update(as_table(self.plan.name, self._facts(self.ledger)), refresh=True)
        else:
            self._next = now + LINE_EVERY_S
            self.say(as_line(self._facts(self.ledger)))

    def stop_watching(self) -> None:
        """End the live view; what it showed last stays as a line."""
        if self.live is not None:
            self.live.stop()
            self.live = None
        if self.ledger is not None:
            self.say(as_line(self._facts(self.ledger)))

    def _count_hours(self, ledger: Ledger, now: float) -> None:
        """CPUs count while a trial holds them, GPUs while any trial runs: trials share them."""
        running = sum(trial.status == "running" for trial in ledger.open.values())
        settings = self.plan.settings
        held = settings.gpus * bool(running) if settings.gpus else running * settings.threads
        self._hours += held * (now - self._counted) / 3600
        self._counted = now

    def _facts(self, ledger: Ledger) -> dict[str, str]:
        elapsed = time.monotonic() - self._began
        best, reference = best_and_reference(self.plan, ledger)
        settings = self.plan.settings
        progress = Progress(
            trials=[
                TrialProgress(t.phase, t.status, t.trained, t.extra_seed)
                for t in ledger.trials.values()
            ],
            asked=Asked.of(
                vars(settings), self.plan.reference.budget.epochs, 1 + len(self.plan.companions)
            ),
            metric=self.plan.objectives[0].metric,
            best=_first_value(best),
            reference=_first_value(reference),
            epochs_per_s=(_epochs(ledger) - self._epochs_before) / max(elapsed, 1e-9),
            elapsed_s=elapsed,
            hours=self._hours,
            device="GPU" if settings.gpus else "CPU",
            searched_s=self.spending.seconds if self.spending else 0.0,
        )
        return progress.facts()

    def farewell(
        self, outcome: str, uri: str, undelivered: str, ledger: Ledger, experiment: str = ""
    ) -> None:
        """How it ended, and the commands that go on from here; experiment: its id in MLflow."""
        best, reference = best_and_reference(self.plan, ledger)
        metric, direction = self.plan.objectives[0].metric, self.plan.objectives[0].direction
        if best is not None:
            self.say(f"best trial: {best.key} with {metric} {_value(best)}")
        if reference is not None:
            self.say(f"reference:  {reference.key} with {metric} {_value(reference)}")
        confirmed = confirmation.judged(self.plan, ledger)
        if confirmed is not None and (verdict := confirmation.sentence(confirmed)):
            self.say(f"confirmed:  {verdict}")
        page = table(experiment, metric, direction) if experiment else ""
        for step in next_steps(self.plan.name, redact(uri), winner=best is not None, page=page):
            self.say(step)
        journal = shlex.quote(str(ledger.folder / "ledger.journal"))
        self.say(f"Optuna:     optuna-dashboard {journal}")
        if undelivered:
            self.say(f"tracker:    {undelivered}")
        if outcome != "finished":
            again = command(self.plan.definition.command, *_to_resume())
            storage = shlex.quote(str(self.plan.settings.storage))
            self.say(f"stopped:    {outcome}; everything until here is kept in {storage}")
            self.say(f"resume:     {again}")


class _Cell:
    """The live table in a notebook: one output that is replaced."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display(Text(""), display_id=True)

    def update(self, table: Table, *, refresh: bool) -> None:
        """Show the table in place of the one before."""
        self._handle.update(table)

    def stop(self) -> None:
        """What was shown last stays."""


def best_and_reference(plan: Plan, ledger: Ledger) -> tuple[LedgerTrial | None, LedgerTrial | None]:
    """The best finished search trial and the finished reference trial, where there are any."""
    ranked = ranking(plan, ledger)
    finished = (t for t in ledger.trials.values() if t.reference and t.status == "finished")
    return (ranked[0] if ranked else None), next(finished, None)


def _to_resume() -> list[str]:
    return [] if {"--resume", "--confirm-only"} & set(sys.argv) else ["--resume"]


def _epochs(ledger: Ledger) -> int:
    return sum(trial.trained for trial in ledger.trials.values())


def _first_value(trial: LedgerTrial | None) -> float | None:
    return trial.values[0] if trial is not None and trial.values else None


def _value(trial: LedgerTrial | None) -> str:
    value = _first_value(trial)
    return UNKNOWN if value is None else f"{value:.5g}"
