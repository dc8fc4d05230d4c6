"""What people are told of a study under way: the same facts in the same words, whoever tells them.

The runner knows them from its ledger, `python -m analysis.watch` from the tracker.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from studies.budget import Budget
from studies.tracker import names, pages

if TYPE_CHECKING:
    from rich.table import Table

REFRESH_S = 0.5  # of a live view on a terminal
LINE_EVERY_S = 15.0  # elsewhere
UNKNOWN = "–"

FAILURES = frozenset(status for status, state in names.MLFLOW_STATUS.items() if state == "FAILED")
ENDED = FAILURES | {"finished", "pruned"}


@dataclass(frozen=True)
class TrialProgress:
    """Where one trial stands. `extra_seed`: it repeats a search trial's configuration.

    epochs: that it has trained itself.
    """

    phase: str
    status: str
    epochs: int
    extra_seed: bool = False


@dataclass(frozen=True)
class Asked:
    """What the study is to train: configurations to search, seeds of each, and other runs.

    `trials` may be infinite where a `budget` ends the search. `epochs` are those of a trial that
    nobody prunes; `fixed_runs` the runs of confirmation or reference, which are never pruned.
    """

    trials: float
    epochs: int
    seeds: int = 1
    fixed_runs: int = 0
    budget: Budget | None = None
    population: bool = False
    """Whether the trials of the search train all epochs between them, whoever takes whose place."""

    @classmethod
    def of(cls, settings: Mapping[str, Any], epochs: int, references: int = 1) -> Asked:
        """From the flags of `python -m studies.NAME`; `references` configurations count as such."""
        seeds = int(settings.get("seeds") or 1)
        if settings.get("reference"):
            return cls(0, epochs, fixed_runs=seeds * references)
        top = int(settings.get("confirm_top") or 0)
        confirmed = (top + 1) * int(settings.get("confirm_seeds") or 0) if top else 0
        if settings.get("confirm_only"):
            return cls(0, epochs, seeds, confirmed)
        text = settings.get("budget")
        budget = Budget.parse(str(text)) if text else None
        searched = int(settings.get("trials") or 0) or (math.inf if budget else 0)
        population = settings.get("scheduler") == "pbt"
        return cls(searched, epochs, seeds, confirmed, budget, population)


@dataclass(frozen=True)
class Progress:
    """A study at one moment.

    `hours` are those that trials held their CPUs or GPUs (`device`), `searched_s` the seconds of
    the search in all its starts.
    """

    trials: Sequence[TrialProgress]
    asked: Asked
    metric: str
    best: float | None
    reference: float | None
    epochs_per_s: float
    elapsed_s: float
    hours: float
    device: Literal["CPU", "GPU"] = "CPU"
    searched_s: float = 0.0

    def facts(self) -> dict[str, str]:
        """Names and values, in the order in which they are shown."""
        count = Counter("failed" if t.status in FAILURES else t.status for t in self.trials)
        facts = {name: str(count[name]) for name in ("finished", "running", "pruned", "failed")}
        if count["interrupted"]:
            facts["interrupted"] = str(count["interrupted"])
        facts |= {
            f"best {self.metric}": _value(self.best),
            "reference": _value(self.reference),
            "epochs/s": f"{self.epochs_per_s:.2f}",
            "elapsed": duration(self.elapsed_s),
        }
        search, other = epochs_left(self.trials, self.asked)
        if search + other > 0 and self.epochs_per_s > 0:
            rate, budget = self.epochs_per_s, self.asked.budget
            limit = None if budget is None else budget.seconds
            rest = math.inf if limit is None else max(limit - self.searched_s, 0.0)
            search = min(search, rest * rate)
            facts["left about"] = duration((search + other) / rate)
            if budget is not None and search:
                facts["trials about"] = f"{expected_trials(self.trials, self.asked, search):.0f}"
        facts[f"{self.device}-hours"] = f"{self.hours:,.{0 if self.hours >= 100 else 2}f}"
        return facts


def epochs_left(trials: Sequence[TrialProgress], asked: Asked) -> tuple[float, float]:
    """Epochs still to train in the search and elsewhere, by what trials have needed so far.

    Pruning makes most trials short: those of the search are expected to take as long as those that
    have ended, and as large a share of them to finish and be repeated on further seeds. A budget of
    epochs ends that sooner; without one and without a number of trials the search is infinite.
    """
    first = _suggested(trials)
    typical, share = _typical(first, asked)
    search = other = 0.0
    for trial in trials:
        if trial.status in ENDED:
            continue
        if trial.phase != "search":
            other += max(asked.epochs - trial.epochs, 0)
        else:
            search += max((asked.epochs if trial.extra_seed else typical) - trial.epochs, 0)
    new = max(asked.trials - len(first), 0)
    ended = [trial for trial in first if trial.status in ENDED]
    repeats = 0.0
    if asked.seeds > 1:
        finished = sum(t.status == "finished" for t in ended)
        repeats = (asked.seeds - 1) * (finished + share * (new + len(first) - len(ended)))
        repeats -= sum(t.extra_seed for t in trials)
    search += new * typical + max(repeats, 0) * asked.epochs
    if asked.budget is not None:
        search = min(search, _room(trials, asked))
    if asked.population:
        done = sum(trial.epochs for trial in trials if trial.phase == "search")
        search = max(asked.trials * asked.epochs - done, 0) if _under_way(trials) else 0.0
    fixed = asked.fixed_runs - sum(t.phase != "search" for t in trials)
    return search, other + max(fixed, 0) * asked.epochs


def _under_way(trials: Sequence[TrialProgress]) -> bool:
    """Whether the search is: it begins, or a trial of it has not ended."""
    searched = [trial for trial in trials if trial.phase == "search"]
    return not searched or any(trial.status not in ENDED for trial in searched)


def _room(trials: Sequence[TrialProgress], asked: Asked) -> float:
    """Epochs that a budget of epochs has left; 0 where no trial is under way and none fits."""
    searched = [trial for trial in trials if trial.phase == "search"]
    under_way = _under_way(trials)
    if asked.budget is None or asked.budget.epochs is None:
        return math.inf if under_way else 0.0
    rest = asked.budget.epochs - sum(trial.epochs for trial in searched)
    return rest if under_way or rest >= asked.epochs else 0.0


def expected_trials(trials: Sequence[TrialProgress], asked: Asked, epochs: float) -> float:
    """Configurations of the search when it has trained so many further epochs."""
    first = _suggested(trials)
    typical, share = _typical(first, asked)
    per_trial = typical + (asked.seeds - 1) * share * asked.epochs
    begun = sum(max(typical - t.epochs, 0) for t in first if t.status not in ENDED)
    more = max(epochs - begun, 0) / per_trial if per_trial else 0.0
    return min(len(first) + more, asked.trials)


def _suggested(trials: Sequence[TrialProgress]) -> list[TrialProgress]:
    return [trial for trial in trials if trial.phase == "search" and not trial.extra_seed]


def _typical(first: Sequence[TrialProgress], asked: Asked) -> tuple[float, float]:
    """Epochs of a trial of the search, and the share that finishes."""
    ended = [trial for trial in first if trial.status in ENDED]
    if not ended:
        return float(asked.epochs), 1.0
    finished = sum(trial.status == "finished" for trial in ended)
    return sum(trial.epochs for trial in ended) / len(ended), finished / len(ended)


def as_line(facts: Mapping[str, str]) -> str:
    """The facts in one line, for a log."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def as_table(title: str, facts: Mapping[str, str]) -> Table:
    """The facts one below the other, for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), show_header=False, title_justify="left")
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def next_steps(study: str, tracking_uri: str, *, winner: bool, page: str = "") -> list[str]:
    """Commands that go on from a study.

    tracking_uri: without secrets. winner: there is one. page: the study's in MLflow, as `pages`
    has it.
    """
    target = shlex.quote(tracking_uri)
    where = f"--study {shlex.quote(study)} --tracking-uri {target}"
    steps = [f"report:     python -m analysis.report {where} --out report"]
    if winner:
        steps.append(f"publish:    python -m analysis.publish {where}")
    if tracking_uri.startswith("http"):
        return [*steps, f"MLflow:     open {tracking_uri.rstrip('/')}{page and '/' + page}"]
    steps.append(f"MLflow:     mlflow ui --backend-store-uri {target}")
    return [*steps, f"            open {pages.LOCAL}/{page}"] if page else steps


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any.

    >>> duration(75), duration(3671)
    ('1:15', '1:01:11')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _value(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.5g}"
