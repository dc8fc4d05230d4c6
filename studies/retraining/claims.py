"""What a study has printed of its winner and its reference, tried on seeds that nobody has seen.

From the tracker alone, so that whoever has unpacked a study can do it. A seed's result is a draw:
the question is not whether the same number comes out but whether new draws lie where draws of the
printed kind would.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from analysis.report.sections.confirmed import findings, test_metric
from analysis.statistics.intervals import CONFIDENCE, MeanInterval, mean_interval, new_draw_interval
from analysis.statistics.quantities import Quantity, quantity
from analysis.tracker.client import Tracker, TrackerError
from analysis.tracker.results import collect
from analysis.tracker.runs import METRIC
from studies.errors import InputError
from studies.retraining import tracked
from studies.runner.cores import usable_cores
from studies.tracker import names


@dataclass(frozen=True)
class Claim:
    """A configuration's printed scores by seed, one of its runs, and seconds of one training."""

    label: str
    metric: str
    printed: dict[int, float]
    run_id: str
    seconds: float


@dataclass(frozen=True)
class Again:
    """One of `tried` configurations: its printed scores by seed, and those of fresh seeds."""

    label: str
    metric: str
    printed: dict[int, float]
    fresh: dict[int, float]
    tried: int = 1

    @property
    def expected(self) -> MeanInterval:
        """Where the mean of so many fresh seeds lies, if nothing has changed.

        Of all that are tried in 95 of 100 studies at least (Bonferroni): a study holds only if each
        of them does.
        """
        mean = sum(self.fresh.values()) / len(self.fresh)
        gaps = [mean - score for score in self.printed.values()]
        confidence = 1 - (1 - CONFIDENCE) / self.tried
        gap = new_draw_interval(gaps, draws=len(self.fresh), confidence=confidence)
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
        seeds = "seed" if len(self.fresh) == 1 else "seeds"
        return (
            f"{self.label}: printed {shown.label} {_span(shown, printed)}, {printed.n} seeds; "
            f"again {shown.with_unit(expected.mean)} on {len(self.fresh)} fresh {seeds}, "
            f"{'inside of' if self.holds else 'OUTSIDE of'} what such seeds show, "
            f"{shown.text(expected.low)} to {shown.text(expected.high)}"
        )


def claims(study: str, uri: str) -> list[Claim]:
    """Of winner and reference, or of one that is both; InputError where nothing is confirmed."""
    try:
        results = collect(study, Tracker(uri))
    except TrackerError as error:
        raise InputError(str(error)) from error
    confirmed = findings(results)
    if confirmed is None:
        raise InputError(f"{study} is not confirmed: nothing of it is printed for fresh seeds")
    confirmation, runs = confirmed
    metric = test_metric(results)
    printed = []
    for name in dict.fromkeys([confirmation.winner.configuration, confirmation.reference]):
        rows = runs.runs[runs.runs["configuration"] == name].dropna(subset=[METRIC + metric])
        if len(rows) < 2:
            raise InputError(f"{name} has {len(rows)} confirmed seeds: an interval takes 2")
        scores = zip(rows["seed"], rows[METRIC + metric], strict=True)
        by_seed = {int(seed): float(score) for seed, score in scores}
        run_id = str(rows["run_id"].iloc[0])
        printed.append(Claim(runs.marked(name), metric, by_seed, run_id, _seconds(rows)))
    return printed


def affordable(printed: Sequence[Claim], seeds: int, seconds: float) -> int:
    """How many seeds of each, up to `seeds`, train in the time; InputError if not even one.

    By what the trainings took where they were confirmed; unknown times are taken for short.
    """
    each = [0.0 if math.isnan(claim.seconds) else claim.seconds for claim in printed]
    one = max(each) if _lanes(printed) == len(printed) else sum(each)
    fitting = seeds if one * seeds <= seconds else int(seconds / one)
    if not fitting:
        raise InputError(
            f"one seed takes about {one / 60:.0f} minutes, more than {seconds / 60:.0f}: give "
            f"--minutes {math.ceil(1.2 * one / 60)}"
        )
    return fitting


def try_again(
    printed: Sequence[Claim],
    uri: str,
    seeds: int,
    data_dir: Path | None = None,
    data: str | None = None,
) -> Iterator[Again]:
    """Each configuration trained on `seeds` fresh seeds, on a CPU, side by side where cores allow.

    Raises InputError where the study's data or code cannot be had here.
    """
    train = partial(_train, uri=uri, count=seeds, tried=len(printed), data_dir=data_dir, data=data)
    if _lanes(printed) == 1:
        for claim in printed:
            yield train(claim)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_lanes(printed), mp_context=context) as processes:
        yield from processes.map(train, printed)


def _lanes(printed: Sequence[Claim]) -> int:
    return min(usable_cores(), len(printed))


def _train(
    claim: Claim, uri: str, count: int, tried: int, data_dir: Path | None, data: str | None
) -> Again:
    """The metric after the last epoch, by seed."""
    trial = tracked.read(claim.run_id, uri)
    images = tracked.load_data(trial, data_dir, data)
    first, scores = max(claim.printed) + 1, {}
    for seed in range(first, first + count):
        config = trial.config.model_copy(update={"seed": seed})
        epochs = tracked.train_again(replace(trial, config=config), images)
        scores[seed] = epochs[max(epochs)][claim.metric]
    return Again(claim.label, claim.metric, claim.printed, scores, tried)


def _seconds(rows: pd.DataFrame) -> float:
    """Of one training, on average: as its worker measured it, else by its last epoch."""
    whole = METRIC + names.WORKER_S
    if whole in rows and rows[whole].notna().any():
        return float(rows[whole].mean())
    parts = [METRIC + f"time/{part}" for part in ("epoch_s", "eval_s")]
    if not set(parts) <= set(rows):
        return math.nan
    return float((rows[parts].sum(axis="columns") * rows["epochs"].astype(float)).mean())


def _span(shown: Quantity, interval: MeanInterval) -> str:
    return (
        f"{shown.with_unit(interval.mean)} ({shown.text(interval.low)} to "
        f"{shown.text(interval.high)})"
    )
