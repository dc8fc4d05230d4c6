"""What people are told of a study under way: the same facts in the same words, whoever tells them.

The runner knows them from its ledger, `python -m analysis.watch` from the tracker.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

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
    """Where one trial stands. `extra_seed`: it repeats a search trial's configuration."""

    phase: str
    status: str
    epochs: int
    extra_seed: bool = False


@dataclass(frozen=True)
class Asked:
    """What the study is to train: configurations to search, seeds of each, and other runs.

    `epochs` are those of a trial that nobody prunes; `fixed_runs` the runs of confirmation or
    reference, which are never pruned.
    """

    trials: int
    epochs: int
    seeds: int = 1
    fixed_runs: int = 0

    @classmethod
    def of(cls, settings: Mapping[str, Any], epochs: int, references: int = 1) -> Asked:
        """From the flags of `python -m studies.NAME`; `references` configurations count as such."""
        seeds = int(settings.get("seeds") or 1)
        if settings.get("reference"):
            return cls(0, epochs, fixed_runs=seeds * references)
        top = int(settings.get("confirm_top") or 0)
        confirmed = (top + 1) * int(settings.get("confirm_seeds") or 0) if top else 0
        searched = 0 if settings.get("confirm_only") else int(settings.get("trials") or 0)
        return cls(searched, epochs, seeds, confirmed)


@dataclass(frozen=True)
class Progress:
    """A study at one moment. `hours` are those that trials held their CPUs or GPUs (`device`)."""

    trials: Sequence[TrialProgress]
    asked: Asked
    metric: str
    best: float | None
    reference: float | None
    epochs_per_s: float
    elapsed_s: float
    hours: float
    device: Literal["CPU", "GPU"] = "CPU"

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
        left = epochs_left(self.trials, self.asked)
        if left > 0 and self.epochs_per_s > 0:
            facts["left about"] = duration(left / self.epochs_per_s)
        facts[f"{self.device}-hours"] = f"{self.hours:,.{0 if self.hours >= 100 else 2}f}"
        return facts


def epochs_left(trials: Sequence[TrialProgress], asked: Asked) -> float:
    """Epochs still to train, by what trials have needed so far: pruning makes most of them short.

    Search trials are expected to take as long as those that have ended, and as large a share of
    them to finish and be repeated on further seeds.
    """
    first = [t for t in trials if t.phase == "search" and not t.extra_seed]
    ended = [t for t in first if t.status in ENDED]
    typical = sum(t.epochs for t in ended) / len(ended) if ended else float(asked.epochs)
    finished = sum(t.status == "finished" for t in ended)
    share = finished / len(ended) if ended else 1.0
    left = 0.0
    for trial in trials:
        if trial.status not in ENDED:
            searched = trial.phase == "search" and not trial.extra_seed
            left += max((typical if searched else asked.epochs) - trial.epochs, 0)
    new = max(asked.trials - len(first), 0)
    repeats = (asked.seeds - 1) * (finished + share * (new + len(first) - len(ended)))
    repeats -= sum(t.extra_seed for t in trials)
    fixed = asked.fixed_runs - sum(t.phase != "search" for t in trials)
    return left + new * typical + (max(repeats, 0) + max(fixed, 0)) * asked.epochs


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
