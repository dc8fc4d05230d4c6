"""Which hyperparameters mattered, by two methods, and warnings where the search cannot tell."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from scipy import stats

from analysis.statistics.intervals import Floats
from analysis.statistics.quantities import Direction, sign
from analysis.statistics.ranking import FINISHED
from analysis.statistics.search_space import Dimension, Value, dimensions

PRUNED = "pruned"
FEWEST_TRIALS = 20
FEWEST_PER_PARAMETER = 4
FEWEST_AT_ALL = 5
FEWEST_BEST = 10
MANY_PRUNED = 0.2
DISAGREEMENT = 0.5
FANOVA_TRIALS = 256
PED_ANOVA_TRIALS = 2048
SHUFFLES = 59
BEYOND = 3  # of 59 shuffles and the scores themselves: 3 in 60 is the 5 % level

Settings = list[dict[str, Value]]


@dataclass(frozen=True)
class ParameterImportance:
    """One hyperparameter's share of the importance (all sum to 1) under either method.

    `chance` is the largest share of any parameter that PED-ANOVA stays under in 19 of 20 shuffles
    of the scores, that is, if none had any influence: it is the same for all, so that one study in
    20 shows one above it, however many parameters were searched. NaN where there were too few
    trials or the score did not vary.
    """

    name: str
    ped_anova: float
    fanova: float
    chance: float

    @property
    def mean(self) -> float:
        """The mean of both methods, by which parameters are ordered; of one if fANOVA is NaN."""
        if math.isnan(self.fanova):
            return self.ped_anova
        return (self.ped_anova + self.fanova) / 2

    @property
    def above_chance(self) -> bool:
        """Whether PED-ANOVA's share exceeds what shuffled scores give; False where unknown."""
        return self.ped_anova > self.chance


@dataclass(frozen=True)
class Importance:
    """`parameters`, the most important first; `warnings` are sentences for the reader.

    `trials` finished trials were used; `agreement` is Kendall's tau-b between the two methods.
    """

    metric: str
    direction: Direction
    parameters: tuple[ParameterImportance, ...]
    trials: int
    agreement: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SearchedTrials:
    """Finished trials inside the searched ranges: `settings[i]` led to `scores[i]`."""

    dimensions: tuple[Dimension, ...]
    settings: Settings
    scores: Floats
    left_out: int


def importance(
    frame: pd.DataFrame,
    metric: str,
    direction: Direction,
    distributions: Mapping[str, str],
    *,
    status: str = "status",
    budget: str | None = None,
    seed: int = 0,
) -> Importance:
    """Importance of each hyperparameter for `metric` among the finished trials.

    * PED-ANOVA: how differently the best trials are distributed from all (Watanabe, Bansal and
      Hutter 2023, IJCAI, arXiv:2304.10255). The best are a tenth of the trials, but at least
      ten: of 40 trials, the best five show a strong parameter half as often (analysis.simulation).
    * fANOVA: variance of a random forest's prediction that each hyperparameter explains alone
      (Hutter, Hoos and Leyton-Brown 2014, ICML), on the scale that was searched (log or linear),
      on at most 256 trials drawn at random, as its cost grows with the square of their number.

    The first asks what it takes to be among the best, the second what moves the score anywhere:
    where one bad corner of the space dominates the variance they rightly differ.

    Args:
        frame: one row per trial; columns: the hyperparameters, `metric`, and `status` (names of
            the tracker). Only trials that finished with a finite score count.
        distributions: hyperparameter to Optuna's JSON of what was searched, as in `study.json`.
        budget: column with the epochs a trial has run, to tell how unequal pruned trials are.
        seed: of the forest, the sub-sample and the shuffles.
    """
    trials = searched_trials(frame, metric, distributions, status=status)
    notes = cautions(frame, trials, status=status, budget=budget)
    count = len(trials.settings)
    if (reason := _impossible(trials)) is not None:
        nan = math.nan
        unknown = tuple(
            ParameterImportance(dimension.name, nan, nan, nan) for dimension in trials.dimensions
        )
        return Importance(metric, direction, unknown, count, nan, (*notes, reason))
    with quiet_optuna() as messages:
        parameters = _parameters(trials, -sign(direction) * trials.scores, seed)
    agreement = _agreement(parameters)
    notes += [*messages, *_restricted(trials), *_doubts(parameters, agreement)]
    return Importance(metric, direction, tuple(parameters), count, agreement, tuple(notes))


def searched_trials(
    frame: pd.DataFrame, metric: str, distributions: Mapping[str, str], *, status: str = "status"
) -> SearchedTrials:
    """The finished trials whose settings all lie inside what was searched.

    A hyperparameter that a trial does not have (conditional spaces) is left out of its settings;
    a trial with a value outside the range (given by hand) is left out and counted.
    Raises ValueError naming the columns that `frame` lacks.
    """
    searched = dimensions(distributions)
    needed = [metric, status, *(dimension.name for dimension in searched)]
    if absent := [name for name in needed if name not in frame.columns]:
        raise ValueError(f"the runs have no column {absent}; they have {list(frame.columns)}")
    scores = frame[metric].to_numpy(dtype=np.float64)
    finished = frame[(frame[status] == FINISHED).to_numpy() & np.isfinite(scores)]
    present = {dimension.name: finished[dimension.name].notna().tolist() for dimension in searched}
    read = {dimension.name: dimension.read(finished[dimension.name]) for dimension in searched}
    settings: Settings = []
    kept: list[int] = []
    for row in range(len(finished)):
        values = {name: read[name][row] for name in read if present[name][row]}
        inside = {name: value for name, value in values.items() if value is not None}
        if len(inside) == len(values):
            settings.append(inside)
            kept.append(row)
    used = finished[metric].to_numpy(dtype=np.float64)[kept]
    return SearchedTrials(searched, settings, used, len(finished) - len(kept))


def cautions(
    frame: pd.DataFrame,
    trials: SearchedTrials,
    *,
    status: str = "status",
    budget: str | None = None,
) -> list[str]:
    """Why these trials may not tell what mattered; one sentence each, empty where they may."""
    sentences = []
    count, parameters = len(trials.settings), len(trials.dimensions)
    fewest = max(FEWEST_TRIALS, FEWEST_PER_PARAMETER * parameters)
    if count < fewest:
        sentences.append(
            f"Only {count} finished trials for {parameters} hyperparameters: under {fewest}, "
            "importances and effects are mostly noise."
        )
    if trials.left_out:
        sentences.append(
            f"{trials.left_out} finished trials lie outside the searched ranges and are left out."
        )
    return [*sentences, *_pruning(frame, status, budget)]


def _pruning(frame: pd.DataFrame, status: str, budget: str | None) -> list[str]:
    """A caution where pruned trials are many and stopped at budgets that cannot be compared."""
    pruned = frame[frame[status] == PRUNED]
    judged = len(pruned) + int((frame[status] == FINISHED).sum())
    if not judged or len(pruned) < MANY_PRUNED * judged:
        return []
    where = ""
    if budget is not None:
        epochs = pruned[budget].astype(float)
        if epochs.min() == epochs.max() == frame.loc[frame[status] == FINISHED, budget].max():
            return []
        where = f" after {epochs.min():.0f} to {epochs.max():.0f} epochs"
    return [
        f"{len(pruned)} of {judged} trials were pruned{where}: their scores cannot be compared "
        "with finished ones and are left out, so what makes a trial bad from the start shows "
        "too little."
    ]


def _impossible(trials: SearchedTrials) -> str | None:
    if not trials.dimensions:
        return "No importance is computed: no hyperparameter was searched."
    if len(trials.settings) < FEWEST_AT_ALL:
        return f"No importance is computed from fewer than {FEWEST_AT_ALL} finished trials."
    if np.ptp(trials.scores) == 0:
        return "No importance is computed: every finished trial has the same score."
    return None


def _parameters(trials: SearchedTrials, losses: Floats, seed: int) -> list[ParameterImportance]:
    """Both methods' shares, the most important first and equal ones by name."""
    shares, chance = ped_anova(trials, losses, seed)
    fanova = _fanova(trials, losses, seed)
    parameters = [ParameterImportance(name, shares[name], fanova[name], chance) for name in fanova]
    return sorted(parameters, key=lambda parameter: (-parameter.mean, parameter.name))


def ped_anova(trials: SearchedTrials, losses: Floats, seed: int) -> tuple[dict[str, float], float]:
    """PED-ANOVA's shares, and the largest share that shuffled losses reach in 19 of 20 shuffles.

    Source: Westfall and Young (1993), "Resampling-based multiple testing", the single-step maximum.
    """
    spaces = {dimension.name: dimension.distribution for dimension in trials.dimensions}
    rows = _subsample(np.arange(len(losses)), PED_ANOVA_TRIALS, seed)
    losses = losses[rows]
    study = _study(spaces, [trials.settings[row] for row in rows], losses)
    best = max(0.1, min(0.5, FEWEST_BEST / len(losses)))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=best)
    raw = _evaluate(evaluator, study, spaces)
    rng = np.random.default_rng(seed)
    largest = sorted(
        max(_evaluate(evaluator, study, spaces, rng.permutation(losses)).values())
        for _ in range(SHUFFLES)
    )
    total = sum(raw.values())
    return _shares(raw), largest[-BEYOND] / total if total else 0.0


def _fanova(trials: SearchedTrials, losses: Floats, seed: int) -> dict[str, float]:
    """fANOVA's shares; log-scaled hyperparameters enter as logarithms, as they were searched."""
    rows = _subsample(_complete(trials), FANOVA_TRIALS, seed)
    spaces = {dimension.name: _linear(dimension) for dimension in trials.dimensions}
    if len(rows) < FEWEST_AT_ALL or np.ptp(losses[rows]) == 0:
        return dict.fromkeys(spaces, math.nan)
    logs = {dimension.name for dimension in trials.dimensions if dimension.log}
    settings: Settings = [
        {
            name: math.log(float(value)) if name in logs else value
            for name, value in trials.settings[row].items()
        }
        for row in rows
    ]
    study = _study(spaces, settings, losses[rows])
    return _shares(_evaluate(FanovaImportanceEvaluator(seed=seed), study, spaces))


def _complete(trials: SearchedTrials) -> NDArray[np.int64]:
    """The trials that have every hyperparameter: a forest cannot do with less."""
    whole = len(trials.dimensions)
    rows = [row for row, values in enumerate(trials.settings) if len(values) == whole]
    return np.asarray(rows, dtype=np.int64)


def _linear(dimension: Dimension) -> BaseDistribution:
    """The dimension's distribution with its logarithm, where it has one, made the value itself."""
    searched = dimension.distribution
    if isinstance(searched, CategoricalDistribution) or not searched.log:
        return searched
    return FloatDistribution(math.log(searched.low), math.log(searched.high))


def _subsample(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    drawn = np.random.default_rng(seed).choice(rows, size=most, replace=False)
    return np.sort(drawn)


def _study(
    spaces: Mapping[str, BaseDistribution], settings: Settings, losses: Floats
) -> optuna.Study:
    """An in-memory study, to be minimised, with one complete trial for each of `settings`."""
    study = optuna.create_study(direction="minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(values),
                distributions={name: spaces[name] for name in values},
                value=float(loss),
            )
            for values, loss in zip(settings, losses, strict=True)
        ]
    )
    return study


def _evaluate(
    evaluator: BaseImportanceEvaluator,
    study: optuna.Study,
    spaces: Mapping[str, Any],
    losses: Floats | None = None,
) -> dict[str, float]:
    """Importances without normalisation; with `losses`, as if the trials had led to these."""
    target = None if losses is None else lambda trial: float(losses[trial.number])
    importances = evaluator.evaluate(study, target=target)
    return {name: float(importances.get(name, 0.0)) for name in spaces}


def _shares(raw: Mapping[str, float]) -> dict[str, float]:
    total = sum(raw.values())
    return {name: value / total if total > 0 else 0.0 for name, value in raw.items()}


def _agreement(parameters: list[ParameterImportance]) -> float:
    second = [parameter.fanova for parameter in parameters]
    if len(parameters) < 2 or math.isnan(second[0]):
        return math.nan
    return float(
        stats.kendalltau([parameter.ped_anova for parameter in parameters], second).statistic
    )


def _doubts(parameters: list[ParameterImportance], agreement: float) -> list[str]:
    """Sentences on disagreement of the methods and on what shuffled scores would have given."""
    sentences = []
    if not math.isnan(agreement):
        by_ped = max(parameters, key=lambda parameter: parameter.ped_anova).name
        by_fanova = max(parameters, key=lambda parameter: parameter.fanova).name
        if by_ped != by_fanova:
            sentences.append(
                f"The methods disagree on what mattered most: {by_ped} (PED-ANOVA: for reaching "
                f"the best trials) or {by_fanova} (fANOVA: over the whole range)."
            )
        elif agreement < DISAGREEMENT:
            sentences.append(
                f"The methods agree on {by_ped} and rank the others differently "
                f"(Kendall's tau {agreement:.2f})."
            )
    unclear = [parameter.name for parameter in parameters if not parameter.above_chance]
    if unclear:
        sentences.append(
            f"No influence is shown for {', '.join(unclear)}: shuffled scores give as much "
            "to some hyperparameter (PED-ANOVA, 95 % level for all together)."
        )
    return sentences


def _restricted(trials: SearchedTrials) -> list[str]:
    """What each method has left out: trials beyond its limit, or without some hyperparameter."""
    count, complete = len(trials.settings), len(_complete(trials))
    sentences = []
    if complete < count:
        sentences.append(
            f"fANOVA sees only the {complete} of {count} trials that have every hyperparameter"
            + (": too few for it." if complete < FEWEST_AT_ALL else ".")
        )
    limits = (("fANOVA", FANOVA_TRIALS, complete), ("PED-ANOVA", PED_ANOVA_TRIALS, count))
    return sentences + [
        f"{method} is computed on {most} of {usable} trials, drawn at random."
        for method, most, usable in limits
        if usable > most
    ]


@contextmanager
def quiet_optuna() -> Iterator[list[str]]:
    """Collect Optuna's warnings as sentences, each once, and keep its log lines off the terminal.

    Its hint that PED-ANOVA minimises a target is dropped: the losses here are to be minimised.
    Warnings of another kind, such as deprecations, are issued again.
    """
    messages: list[str] = []
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield messages
        said = [
            str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)
        ]
        messages += [text for text in dict.fromkeys(said) if "low `target` values" not in text]
        for warning in caught:
            if not issubclass(warning.category, UserWarning):
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
    finally:
        optuna.logging.set_verbosity(verbosity)
