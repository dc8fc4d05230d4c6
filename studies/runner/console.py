"""What the user sees while a study runs, and the last lines that say where to look."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter

from rich.console import Console as RichConsole
from rich.live import Live
from rich.table import Table

from studies.runner.ledger import FAILURES, Ledger, LedgerTrial
from studies.runner.planning import Plan, ranking
from studies.runner.preflight import shown

LINE_EVERY_S = 15.0
REFRESH_S = 0.5


class Console:
    """A live table on a terminal, a line now and then elsewhere."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.out = RichConsole(highlight=False, soft_wrap=True)
        self.live: Live | None = None
        self.ledger: Ledger | None = None
        self._began = time.monotonic()
        self._next = 0.0
        self._epochs_before = 0

    def say(self, text: str) -> None:
        """A line of its own."""
        self.out.print(text, markup=False)

    def watch(self, ledger: Ledger) -> None:
        """Begin to show the progress of a phase."""
        self.ledger = ledger
        self._epochs_before = _epochs(ledger)
        self._began = time.monotonic()
        if self.out.is_terminal:
            self.live = Live(console=self.out, auto_refresh=False, transient=True)
            self.live.start()

    def tick(self) -> None:
        """Called often; shows something new now and then."""
        now = time.monotonic()
        if self.ledger is None or now < self._next:
            return
        if self.live is not None:
            self._next = now + REFRESH_S
            self.live.update(self._table(self.ledger), refresh=True)
        else:
            self._next = now + LINE_EVERY_S
            self.say(", ".join(f"{k} {v}" for k, v in self._facts(self.ledger).items()))

    def stop_watching(self) -> None:
        """End the live view; what it showed last stays as a line."""
        if self.live is not None:
            self.live.stop()
            self.live = None
        if self.ledger is not None:
            self.say(", ".join(f"{k} {v}" for k, v in self._facts(self.ledger).items()))

    def _table(self, ledger: Ledger) -> Table:
        table = Table(title=self.plan.name, show_header=False, title_justify="left")
        for name, value in self._facts(ledger).items():
            table.add_row(name, value)
        return table

    def _facts(self, ledger: Ledger) -> dict[str, str]:
        trials = ledger.trials.values()
        count = Counter("failed" if t.status in FAILURES else t.status for t in trials)
        elapsed = time.monotonic() - self._began
        rate = (_epochs(ledger) - self._epochs_before) / max(elapsed, 1e-9)
        metric = self.plan.objectives[0].metric
        best, reference = best_and_reference(self.plan, ledger)
        facts = {
            "finished": str(count["finished"]),
            "running": str(count["running"]),
            "pruned": str(count["pruned"]),
            "failed": str(count["failed"]),
            f"best {metric}": _value(best),
            "reference": _value(reference),
            "epochs/s": f"{rate:.2f}",
            "elapsed": _duration(elapsed),
        }
        left = (self.plan.settings.trials or 0) - ledger.suggested + count["running"]
        ended = sum(count[s] for s in ("finished", "pruned", "failed"))
        if ended and left > 0:
            facts["left about"] = _duration(elapsed / ended * left)
        return facts

    def farewell(self, outcome: str, uri: str, undelivered: str, ledger: Ledger) -> None:
        """How it ended, and the commands that go on from here."""
        best, reference = best_and_reference(self.plan, ledger)
        metric = self.plan.objectives[0].metric
        if best is not None:
            self.say(f"best trial: {best.key} with {metric} {_value(best)}")
        if reference is not None:
            self.say(f"reference:  {reference.key} with {metric} {_value(reference)}")
        name, storage = shlex.quote(self.plan.name), shlex.quote(str(self.plan.settings.storage))
        target = shlex.quote(shown(uri))
        report = f"python -m analysis.report --study {name} --tracking-uri {target} --out report"
        self.say(f"report:     {report}")
        self.say(f"MLflow:     mlflow ui --backend-store-uri {target}")
        if undelivered:
            self.say(f"tracker:    {undelivered}")
        if outcome != "finished":
            again = shlex.join(
                ["python", "-m", f"studies.{self.plan.definition.kind}", *_resumed()]
            )
            self.say(f"stopped:    {outcome}; everything until here is kept in {storage}")
            self.say(f"resume:     {again}")


def best_and_reference(plan: Plan, ledger: Ledger) -> tuple[LedgerTrial | None, LedgerTrial | None]:
    """The best finished search trial and the finished reference trial, where there are any."""
    ranked = ranking(plan, ledger)
    finished = (t for t in ledger.trials.values() if t.reference and t.status == "finished")
    return (ranked[0] if ranked else None), next(finished, None)


def _resumed() -> list[str]:
    given = sys.argv[1:]
    return given if "--resume" in given or "--confirm-only" in given else [*given, "--resume"]


def _epochs(ledger: Ledger) -> int:
    return sum(len(trial.reports) for trial in ledger.trials.values())


def _value(trial: LedgerTrial | None) -> str:
    return f"{trial.values[0]:.5g}" if trial is not None and trial.values else "–"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
