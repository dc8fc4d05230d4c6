"""What a search will take, told before it starts: the reference is trained for some seconds here.

An estimate: other configurations take other times, and how many epochs a scheduler saves depends on
the values. While the study runs, the view says again what it comes to, by what was measured.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from studies.runner.planning import Plan
from studies.scheduling.pruning import (
    EndingRule,
    Hyperband,
    MedianStopping,
    SuccessiveHalving,
)
from studies.tracker.progress import Asked, duration
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.trial import Trial

CALIBRATION_S = 20.0  # at most, roughly: the epoch that is under way is ended
STEPS = 20  # of the first, untimed epoch; then twice as many each time
SAME = 0.1  # relative: two timings in a row that are so close are believed


@dataclass(frozen=True)
class Forecast:
    """Of a study that begins now.

    Attributes:
        epoch_s: seconds of an epoch of the reference on one worker.
        trials: configurations that the search tries, each of `trial_epochs` on average.
        search_s: seconds of the search by the clock.
        other_s: of confirmation or reference runs.
    """

    epoch_s: float
    trials: float
    trial_epochs: float
    search_s: float
    other_s: float


def epoch_seconds(config: TrialConfig, data: TrialData, *, limit_s: float = CALIBRATION_S) -> float:
    """Seconds of an epoch of `config` on a CPU of this machine, validation included.

    Trained are parts of an epoch, each twice as long as the one before, until two agree, a part is
    the whole or the time is up.
    """
    torch.set_num_threads(config.threads)
    images = min(config.data.train_size or len(data.train), len(data.train))
    size = min(config.optimiser.batch_size, images)
    began, steps = time.perf_counter(), STEPS
    before = math.inf
    while True:
        part = min(steps * size, images)
        trial = Trial(config.model_copy(update={"train_size": part, "epochs": 2}), data)
        trial.run_epoch()
        if steps == STEPS and part < images:
            trial.run_epoch()  # the first one made kernels and memory ready
        seconds = trial.spent["train_s"] * images / part + trial.spent["eval_s"]
        agreed = abs(seconds - before) <= SAME * seconds
        if agreed or part == images or time.perf_counter() - began > limit_s / 2:
            return seconds
        before, steps = seconds, 2 * steps


def expected_epochs(rule: EndingRule | None, epochs: int) -> tuple[float, float]:
    """Epochs of a trial on average, and the share that finishes, if a rule does as it is meant to.

    Each rung passes the best 1/eta; the median rule half of those that come to an epoch.
    """
    match rule:
        case SuccessiveHalving():
            rungs = sorted(m for m in rule.milestones if m < epochs)
            lengths = [b - a for a, b in pairwise([0, *rungs, epochs])]
            mean = sum(length / rule.eta**k for k, length in enumerate(lengths))
            return mean, rule.eta ** -len(rungs)
        case Hyperband():
            parts = [expected_epochs(bracket, epochs) for bracket in rule.brackets]
            weighted = [(n * a, n * b) for n, (a, b) in zip(rule.shares, parts, strict=True)]
            means, shares = zip(*weighted, strict=True)
            return sum(means) / sum(rule.shares), sum(shares) / sum(rule.shares)
        case MedianStopping():
            halved = epochs - min(rule.grace, epochs)
            return epochs - halved + sum(0.5**k for k in range(1, halved + 1)), 0.5**halved
        case _:
            return float(epochs), 1.0


def made(plan: Plan, epoch_s: float, workers: int) -> Forecast:
    """What `plan` comes to, if an epoch takes `epoch_s` on each of the workers."""
    settings, epochs = plan.settings, plan.reference.budget.epochs
    asked = Asked.of(vars(settings), epochs, 1 + len(plan.companions))
    mean, share = expected_epochs(plan.pruner(), epochs)
    typical = mean + share * (settings.seeds - 1) * epochs
    trials, budget = asked.trials, asked.budget
    if budget is not None and budget.epochs is not None:
        trials = min(trials, budget.epochs / typical)
    elif budget is not None and budget.seconds is not None:
        trials = min(trials, max(budget.seconds * workers / (epoch_s * typical), 1.0))
    search_s = trials * typical * epoch_s / workers
    return Forecast(
        epoch_s, trials, typical, search_s, asked.fixed_runs * epochs * epoch_s / workers
    )


def words(plan: Plan, data: TrialData, workers: int) -> str:
    """The forecast in a line; trains for up to `CALIBRATION_S` where workers are CPUs."""
    if plan.settings.gpus:
        return "forecast: a GPU is not tried beforehand; `left about` says it from the first epochs"
    try:
        epoch_s = epoch_seconds(plan.reference, replace(data, test=None))
    except Exception as error:  # what a trial does of itself is the study's to record
        return f"forecast: none, the reference did not train ({type(error).__name__}: {error})"
    forecast = made(plan, epoch_s, workers)
    parts = []
    if forecast.trials:
        parts.append(
            f"about {forecast.trials:.0f} trials of {forecast.trial_epochs:.1f} epochs take "
            f"{duration(forecast.search_s)}"
        )
    if forecast.other_s:
        what = "reference runs" if plan.settings.reference else "confirmation"
        parts.append(f"the {what} {duration(forecast.other_s)}")
    ends = time.time() + forecast.search_s + forecast.other_s
    return (
        f"forecast: an epoch of the reference takes {epoch_s:.2g} s here; on {workers} "
        f"worker{'' if workers == 1 else 's'} {', '.join(parts)}: done about "
        f"{time.strftime('%a %H:%M', time.localtime(ends))}"
    )
