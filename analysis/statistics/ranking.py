"""Ranking with seeds as an axis: a configuration is judged by its mean over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.intervals import CONFIDENCE, MeanInterval, mean_interval
from analysis.statistics.quantities import Direction, sign

FINISHED = "finished"


@dataclass(frozen=True)
class Ranked:
    """A configuration's place: `rank` 1 is best, equal means share the better rank."""

    rank: int
    configuration: str
    estimate: MeanInterval
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class LeftOut:
    """A configuration without a fair mean, and why."""

    configuration: str
    reason: str


@dataclass(frozen=True)
class Ranking:
    """`ranked` best first; equal means in the order in which the runs came."""

    metric: str
    direction: Direction
    ranked: tuple[Ranked, ...]
    left_out: tuple[LeftOut, ...]


def rank(
    runs: pd.DataFrame,
    *,
    metric: str,
    direction: Direction,
    seeds: Sequence[int] | None = None,
    configuration: str = "config",
    seed: str = "seed",
    status: str = "status",
    confidence: float = CONFIDENCE,
) -> Ranking:
    """Rank configurations by the mean of `metric` over seeds.

    A configuration counts only where every one of its seeds has finished with a finite score:
    the mean of the seeds that happened to survive would favour configurations that fail on the
    bad ones. With `seeds`, exactly these count, the same for all; without, each configuration's
    own. An unfinished attempt does not count against a seed that another attempt finished.
    """
    order = sign(direction)
    groups = runs.groupby(configuration, sort=False)
    judged = [_judge(str(name), rows, metric, seeds, seed, status) for name, rows in groups]
    scored = [judgement for judgement in judged if not isinstance(judgement, LeftOut)]
    estimates = {
        name: mean_interval(list(scores.values()), confidence=confidence) for name, scores in scored
    }
    best_first = sorted(scored, key=lambda judgement: -order * estimates[judgement[0]].mean)
    means = [estimates[name].mean for name, _ in best_first]
    ranked = tuple(
        Ranked(means.index(estimates[name].mean) + 1, name, estimates[name], tuple(sorted(scores)))
        for name, scores in best_first
    )
    left_out = tuple(judgement for judgement in judged if isinstance(judgement, LeftOut))
    return Ranking(metric, direction, ranked, left_out)


def _judge(
    name: str,
    rows: pd.DataFrame,
    metric: str,
    seeds: Sequence[int] | None,
    seed: str,
    status: str,
) -> tuple[str, dict[int, float]] | LeftOut:
    """The configuration's score for each seed, or why it has no fair mean."""
    numbers = [int(row) for row in rows[seed]]
    values = rows[metric].to_numpy(dtype=np.float64)
    done = (rows[status] == FINISHED).to_numpy() & np.isfinite(values)
    finished: dict[int, float] = {}
    for number, value, usable in zip(numbers, values.tolist(), done.tolist(), strict=True):
        if usable:
            finished.setdefault(number, value)
    needed = sorted(set(numbers)) if seeds is None else list(seeds)
    missing = [number for number in needed if number not in finished]
    if missing:
        listed = ", ".join(map(str, missing))
        return LeftOut(name, f"no finished run with a finite {metric} for seed {listed}")
    return name, {number: finished[number] for number in needed}
