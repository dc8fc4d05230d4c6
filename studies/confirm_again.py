"""A study's printed claim, tried again: its winner and its reference on seeds that nobody has seen.

From the tracker alone, so that whoever has unpacked a study can do it. A seed's result is a draw:
the question is not whether the same number comes out but whether new draws lie where draws of the
printed kind would.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from analysis.report.sections.confirmed import findings, test_metric
from analysis.statistics.intervals import MeanInterval, mean_interval, new_draw_interval
from analysis.statistics.quantities import Quantity, quantity
from analysis.tracker.client import Tracker, TrackerError
from analysis.tracker.results import collect
from analysis.tracker.runs import METRIC
from studies import reproduce
from studies.errors import InputError, StudyError
from studies.runner import preflight


@dataclass(frozen=True)
class Again:
    """One configuration: its printed scores by seed, and those of fresh seeds."""

    label: str
    metric: str
    printed: dict[int, float]
    fresh: dict[int, float]

    @property
    def expected(self) -> MeanInterval:
        """Where the mean of so many fresh seeds lies in 95 of 100 cases, if nothing has changed."""
        mean = sum(self.fresh.values()) / len(self.fresh)
        gaps = [mean - score for score in self.printed.values()]
        gap = new_draw_interval(gaps, draws=len(self.fresh))
        return replace(gap, mean=mean, low=mean - gap.high, high=mean - gap.low)

    @property
    def holds(self) -> bool:
        """Whether the fresh mean lies there."""
        expected = self.expected
        return expected.low <= expected.mean <= expected.high

    def sentence(self) -> str:
        """For the console."""
        printed, expected = mean_interval(list(self.printed.values())), self.expected
        shown = quantity(self.metric)
        return (
            f"{self.label}: printed {shown.label} {_span(shown, printed)}, {printed.n} seeds; "
            f"again {shown.with_unit(expected.mean)} on {len(self.fresh)} fresh seeds, "
            f"{'inside of' if self.holds else 'OUTSIDE of'} what such seeds show, "
            f"{shown.text(expected.low)} to {shown.text(expected.high)}"
        )


def confirm_again(
    study: str, uri: str, seeds: int, data_dir: Path | None = None, data: str | None = None
) -> Iterator[Again]:
    """Winner and reference of a confirmed study, trained on `seeds` fresh seeds each, on a CPU.

    Raises InputError where the study is not confirmed, or its data or code cannot be had here.
    """
    try:
        results = collect(study, Tracker(uri))
    except TrackerError as error:
        raise InputError(str(error)) from error
    confirmed = findings(results)
    if confirmed is None:
        raise InputError(f"{study} is not confirmed: nothing of it is printed for fresh seeds")
    confirmation, runs = confirmed
    metric = test_metric(results)
    for name in dict.fromkeys([confirmation.winner.configuration, confirmation.reference]):
        rows = runs.runs[runs.runs["configuration"] == name].dropna(subset=[METRIC + metric])
        if len(rows) < 2:
            raise InputError(f"{name} has {len(rows)} confirmed seeds: an interval takes 2")
        scores = zip(rows["seed"], rows[METRIC + metric], strict=True)
        printed = {int(seed): float(score) for seed, score in scores}
        original = reproduce.read(str(rows["run_id"].iloc[0]), uri)
        fresh = _train(original, max(printed) + 1, seeds, metric, data_dir, data)
        yield Again(runs.marked(name), metric, printed, fresh)


def _train(
    original: reproduce.Original,
    first: int,
    count: int,
    metric: str,
    data_dir: Path | None,
    data: str | None,
) -> dict[int, float]:
    """The metric after the last epoch, by seed."""
    images = reproduce.load_data(original, data_dir, data)
    scores = {}
    for seed in range(first, first + count):
        config = original.config.model_copy(update={"seed": seed})
        epochs = reproduce.train_again(replace(original, config=config), images)
        scores[seed] = epochs[max(epochs)][metric]
    return scores


def _span(shown: Quantity, interval: MeanInterval) -> str:
    return (
        f"{shown.with_unit(interval.mean)} ({shown.text(interval.low)} to "
        f"{shown.text(interval.high)})"
    )


def command(
    study: Annotated[str, typer.Argument(help="A confirmed study, such as one just unpacked.")],
    seeds: Annotated[int, typer.Option(min=1, help="Fresh seeds of winner and reference.")] = 2,
    tracking_uri: Annotated[
        str, typer.Option(help="Where it is recorded.", envvar="MLFLOW_TRACKING_URI")
    ] = "sqlite:///runs/mlflow.db",
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the IDX files.")] = None,
    data: Annotated[str | None, typer.Option(help="Where own images are now.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 unless all of it holds.")
    ] = False,
) -> None:
    """Train a study's winner and reference on fresh seeds: does what it printed hold?"""
    try:
        preflight.tracker_answers(tracking_uri)
        tried = []
        for again in confirm_again(study, tracking_uri, seeds, data_dir, data):
            tried.append(again)
            print(again.sentence(), flush=True)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    if check and not all(again.holds for again in tried):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(command)
