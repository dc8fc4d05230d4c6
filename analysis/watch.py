"""A study under way, seen from another terminal: counts, best so far, speed, time left.

    python -m analysis.watch --study NAME

Reads the tracker alone, so it also works from another machine, and says what the runner's own
console says. `look` gives one moment as data; `watch` goes on until the study ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.command import Debug, Study, TrackingUri, one_line_errors, quiet_libraries
from analysis.tracker.client import Tracker, TrackerError
from studies.tracker import names
from studies.tracker.progress import (
    LINE_EVERY_S,
    Asked,
    Progress,
    TrialProgress,
    as_line,
    as_table,
    duration,
    next_steps,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from analysis.tracker.results import StudyResults

READ_EVERY_S = 2.0
READING_SHARE = 0.2  # of the time at most: reading 10,000 trials takes seconds
QUIET_S = 600.0  # without news for so long, the driver may be gone
FULL_EPOCHS = 1  # where neither the study nor a trial says how many epochs it has


@dataclass(frozen=True)
class Look:
    """One moment; `ended` is how the study ended in words, "" while it runs."""

    progress: Progress
    ended: str

    def facts(self) -> dict[str, str]:
        """What is shown; an ended study has no time left, whatever it was asked for."""
        facts = self.progress.facts()
        if self.ended:
            facts.pop("left about", None)
        return facts

    def news(self) -> tuple[object, ...]:
        """What changes whenever a trial does anything."""
        return (tuple(self.progress.trials), self.progress.best, self.ended)


def look(results: StudyResults, now: pd.Timestamp) -> Look:
    """What `results` say at the time `now` (UTC)."""
    trials, settings = results.trials, dict(results.info.get("settings", {}))
    ended = _ended(results)
    until = _time(results.parent.end_ms if results.parent else None, now) if ended else now
    start = _time(results.parent.start_ms if results.parent else None, trials["started"].min())
    elapsed = max((until - start).total_seconds(), 0.0) if start == start else 0.0
    gpus = int(settings.get("gpus") or 0)
    on_gpu = bool(gpus) or bool((trials["device"] == "cuda").any())
    progress = Progress(
        trials=[_trial(row) for row in trials.to_dict("records")],
        asked=Asked.of(settings, _full_epochs(results), _references(trials)),
        metric=results.objective.metric,
        best=_objective(results, results.winner),
        reference=_objective(results, results.reference),
        epochs_per_s=_rate(trials, elapsed, bool(ended)),
        elapsed_s=elapsed,
        hours=_gpu_hours(trials, now, max(gpus, 1)) if on_gpu else _cpu_hours(trials, now),
        device="GPU" if on_gpu else "CPU",
        searched_s=results.parent.metrics.get(names.SEARCHED_S, 0.0) if results.parent else 0.0,
    )
    return Look(progress, ended)


def _ended(results: StudyResults) -> str:
    if results.parent is None:
        running = (results.trials["status"] == "running").any()
        return "" if running else "over, as far as its trials tell"
    tags = results.parent.tags
    status = tags.get(names.STATUS) or results.parent.status.lower()
    if status == "running":
        return ""
    reason = tags.get(names.REASON)
    return f"{status}: {reason}" if reason else status


def _time(milliseconds: int | None, default: pd.Timestamp) -> pd.Timestamp:
    import pandas as pd

    return default if milliseconds is None else pd.Timestamp(milliseconds, unit="ms", tz="UTC")


def _trial(row: dict[Any, Any]) -> TrialProgress:
    extra = row["phase"] == "search" and bool(row["like"])
    return TrialProgress(row["phase"], row["status"], int(row["trained"]), extra)


def _full_epochs(results: StudyResults) -> int:
    epochs = results.info.get("settings", {}).get("epochs")
    epochs = epochs or results.info.get("reference", {}).get("epochs")
    return int(epochs or max(results.trials["epochs"], default=FULL_EPOCHS))


def _references(trials: pd.DataFrame) -> int:
    """Configurations among the reference runs: a reference may have companions."""
    return max(trials.loc[trials["phase"] == "reference", "config"].nunique(), 1)


def _objective(results: StudyResults, trial: pd.Series[Any] | None) -> float | None:
    value = None if trial is None else trial.get(results.objective.column)
    return None if value is None or value != value else float(value)


def _epoch_seconds(trials: pd.DataFrame) -> pd.Series[float]:
    """Seconds of each trial's last epoch, evaluation included; NaN before its first."""
    import pandas as pd

    parts = [f"metrics.time/{name}" for name in ("epoch_s", "eval_s")]
    times = [trials[name] for name in parts if name in trials]
    return sum(times) if times else pd.Series(float("nan"), trials.index)  # type: ignore[return-value]


def _rate(trials: pd.DataFrame, elapsed: float, ended: bool) -> float:
    """Epochs per second: of the running trials now, of the whole study once it has ended."""
    if ended:
        return float(trials["trained"].sum()) / elapsed if elapsed else 0.0
    running = trials["status"] == "running"
    seconds = _epoch_seconds(trials)
    latest = seconds[running].dropna()
    typical = (latest if len(latest) else seconds.dropna()).mean()
    return float(running.sum() / typical) if typical > 0 else 0.0


def _held(trials: pd.DataFrame, now: pd.Timestamp) -> pd.DataFrame:
    """`start` and `end` of the time that each trial held its device.

    One that was taken up again did not hold it in between: it counts by its epochs.
    """
    import pandas as pd

    end = trials["ended"].where(trials["status"] != "running").fillna(now)
    trained = pd.to_timedelta(trials["trained"].astype(float) * _epoch_seconds(trials), unit="s")
    again = trials["attempt"].fillna(1) > 1
    start = trials["started"].where(~again, end - trained.fillna(pd.Timedelta(0)))
    return pd.DataFrame({"start": start.fillna(end), "end": end}).sort_values("start")


def _cpu_hours(trials: pd.DataFrame, now: pd.Timestamp) -> float:
    held = _held(trials, now)
    hours = (held["end"] - held["start"]).dt.total_seconds().clip(lower=0) / 3600
    threads = trials["params.threads"].astype(float) if "params.threads" in trials else 1.0
    return float((hours * threads).sum())


def _gpu_hours(trials: pd.DataFrame, now: pd.Timestamp, gpus: int) -> float:
    """GPUs times the hours in which any trial ran: trials share them."""
    total, covered = 0.0, None
    for start, end in _held(trials, now).itertuples(index=False):
        begin = start if covered is None else max(start, covered)
        if end > begin:
            total += (end - begin).total_seconds()
            covered = end
    return gpus * total / 3600


class Watcher:
    """Reads a study again and again, never for more than a share of the time."""

    def __init__(self, study: str, tracking_uri: str | None) -> None:
        """Raises TrackerError if there is no such study."""
        from analysis.tracker.results import collect

        self.tracker = Tracker(tracking_uri)
        self.results = collect(study, self.tracker)
        self.pause = READ_EVERY_S

    def read(self) -> Look:
        """The newest state; raises TrackerError while the tracker does not answer."""
        import pandas as pd

        from analysis.tracker import runs
        from analysis.tracker.results import collect

        began = time.monotonic()
        if self.results.info:
            records = self.tracker.records(self.results.name)
            parents = [record for record in records if runs.is_study(record)]
            self.results = replace(
                self.results,
                trials=runs.frame(records),
                parent=parents[-1] if parents else None,
            )
        else:  # it has just begun: what it was asked for is not there yet
            self.results = collect(self.results.name, self.tracker)
        self.pause = max(READ_EVERY_S, (time.monotonic() - began) / READING_SHARE)
        return look(self.results, pd.Timestamp.now("UTC"))


def watch(watcher: Watcher, console: Console, *, once: bool = False) -> None:
    """Show the study until it ends: live on a terminal, a line now and then elsewhere."""
    last = watcher.read()
    title = watcher.results.title
    if not once and not last.ended:
        with _display(console, title) as show:
            last = _follow(watcher, last, show)
    say(console, as_line(last.facts()))
    if last.ended:
        say(console, f"the study is {last.ended}")
        has_winner = last.progress.best is not None
        for step in next_steps(watcher.results.name, watcher.tracker.uri, winner=has_winner):
            say(console, step)


def say(console: Console, text: str) -> None:
    """A line of its own, never broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _follow(watcher: Watcher, last: Look, show: Any) -> Look:
    """Read and show until the study has ended; the last look."""
    changed = time.monotonic()
    while not last.ended:
        facts = last.facts()
        quiet = time.monotonic() - changed
        if quiet > QUIET_S:
            facts["no news for"] = f"{duration(quiet)}: the driver may be gone"
        show(facts)
        time.sleep(watcher.pause)
        try:
            newest = watcher.read()
        except TrackerError as error:
            show(facts | {"tracker": str(error)})
            continue
        if newest.news() != last.news():
            changed = time.monotonic()
        last = newest
    return last


@contextmanager
def _display(console: Console, title: str) -> Iterator[Any]:
    """A function that shows facts: in place on a terminal, else as lines, not too many."""
    if not console.is_terminal:
        next_line = time.monotonic()

        def tell(facts: dict[str, str]) -> None:
            nonlocal next_line
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + LINE_EVERY_S
                say(console, as_line(facts))

        yield tell
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda facts: live.update(as_table(title, facts), refresh=True)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    study: Study,
    once: Annotated[bool, typer.Option("--once", help="Say how it stands and end.")] = False,
    tracking_uri: TrackingUri = None,
    debug: Debug = False,
) -> None:
    """Watch a study from another terminal until it ends. Ctrl-C leaves it running."""
    quiet_libraries()
    from rich.console import Console

    with one_line_errors(TrackerError, debug=debug):
        try:
            watch(Watcher(study, tracking_uri), Console(), once=once)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


if __name__ == "__main__":
    app()
