"""Which run of a study is published as its winner, and why: `choose`, or `named` by the user.

Only validation scores decide, so that the test scores of the run stay what they are: unseen.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics.quantities import quantity
from analysis.tracker.client import TrackerError
from analysis.tracker.results import CONFIRM, StudyResults
from analysis.tracker.runs import FAILED, METRIC, PARAM

SCORES = (
    "test/mse", "test/psnr", "test/ssim",
    "test/predicted_mse", "test/predicted_psnr", "test/predicted_ssim", "test/class_accuracy",
    "test/iw_nll", "val/mse", "val/psnr", "val/ssim",
)  # fmt: skip


class WinnerError(TrackerError):
    """The tracker holds no run to publish; the message says why."""


@dataclass(frozen=True, eq=False)
class Winner:
    """A finished run; `why` is a sentence or two, for people."""

    run: pd.Series[Any]
    why: str

    @property
    def run_id(self) -> str:
        """MLflow's id."""
        return str(self.run["run_id"])

    @property
    def trial(self) -> str:
        """The trial's key."""
        return str(self.run["trial"])

    @property
    def title(self) -> str:
        """Trial and seed."""
        return f"trial {self.trial}, seed {self.run['seed']}"

    @property
    def scores(self) -> dict[str, float]:
        """Its main metrics by tracker name, as far as it has them."""
        values = {name: self.run.get(METRIC + name) for name in SCORES}
        return {name: float(value) for name, value in values.items() if pd.notna(value)}

    @property
    def noise(self) -> str:
        """The noise it was judged on, in words."""
        kind, factor = (self.run.get(f"{PARAM}eval_noise_{part}") for part in ("kind", "factor"))
        return f"{str(kind).replace('_', ' ')} noise of factor {factor}"


def choose(results: StudyResults) -> Winner:
    """The best configuration by its mean over fresh seeds; unconfirmed, the search's best trial.

    Raises WinnerError if no trial has finished.
    """
    confirmed = _confirmed(results)
    if confirmed is not None:
        return confirmed
    best = results.winner
    if best is None:
        raise WinnerError(
            f"study {results.name!r} has no finished trial with a finite "
            f"{results.objective.metric} yet, so there is no winner to publish"
        )
    scored = _scored(results, best[results.objective.column])
    return Winner(best, f"Best of {len(results.ranked)} finished trials by {scored}; unconfirmed.")


def named(results: StudyResults, run: str) -> Winner:
    """The finished run with that MLflow id or trial key; WinnerError if there is none."""
    row = results.trial(run)
    if row is None:
        raise WinnerError(
            f"study {results.name!r} has no run {run!r}; give a run id or a trial's key"
        )
    if row["status"] != "finished":
        raise WinnerError(
            f"trial {row['trial']} is {row['status']}: only finished ones have weights"
        )
    return Winner(row, "Chosen by hand.")


def _confirmed(results: StudyResults) -> Winner | None:
    """None where no two runs can be compared: nothing confirmed, or no seed that all finished."""
    column = results.objective.column
    runs = results.trials[results.trials["phase"] == CONFIRM]
    if runs.empty or column not in runs:
        return None
    runs = runs.assign(configuration=runs["like"].where(runs["like"] != "", runs["config"]))
    broken = runs.loc[runs["status"].isin(FAILED), "configuration"]
    done = runs[(runs["status"] == "finished") & np.isfinite(runs[column].astype(float))]
    table = (
        done[~done["configuration"].isin(broken)]
        .drop_duplicates(["configuration", "seed"], keep="last")
        .pivot(index="seed", columns="configuration", values=column)
        .dropna()  # a half-finished confirmation is judged on the seeds that all have
    )
    if table.empty:
        return None
    means = table.mean()
    best = means.idxmin() if results.objective.ascending else means.idxmax()
    return _best_seed(results, done[done["configuration"] == best], best, table)


def _best_seed(
    results: StudyResults, runs: pd.DataFrame, best: Hashable, table: pd.DataFrame
) -> Winner:
    values = runs[results.objective.column]
    run = runs.iloc[values.argmin() if results.objective.ascending else values.argmax()]
    what = "The reference" if run["reference"] else f"Trial {best}"
    seeds = "1 fresh seed" if len(table) == 1 else f"{len(table)} fresh seeds"
    rank = f"the best of {table.shape[1]} configurations"
    if table.shape[1] == 1:
        rank = "the only configuration that was confirmed"
    why = (
        f"{what} is {rank}: "
        f"{_scored(results, table[best].mean())} on average over {seeds}. Of its {len(runs)} "
        f"confirmation runs this one has the best validation score."
    )
    return Winner(run, why)


def _scored(results: StudyResults, value: float) -> str:
    metric = quantity(results.objective.metric)
    return f"{metric.label} {metric.with_unit(value)}"
