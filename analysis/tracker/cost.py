"""What a study cost its workers, added up, and what of that was wasted.

Every second that a worker had is in one of four: training, evaluation, the rest of its work
(opening, checkpoints, the final test) and waiting; what waiting at a phase's end comes to is seen
from the times of its runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from studies.tracker import names

MEASURED = (*sorted(names.ADDED_UP), names.MEMORY_MIB, names.GPU_PERCENT)
NOTABLE = 0.1  # a share of workers' time that is worth a sentence
BUSY = 0.5  # of the cores that a trial has; below that, more workers would fit


@dataclass(frozen=True)
class Cost:
    """Of those trials that were measured; seconds of workers unless stated otherwise.

    Attributes:
        trials: how many were measured; of: how many there are.
        tail_s: what workers waited for at the ends of phases, while the last trials went on.
        cores: that the trials asked for, weighted by time; 0 where they trained on a GPU.
        memory_mib: the largest peak of one trial; memory_trial: whose.
        energy_j: NaN where no machine told; gpu_percent likewise, weighted by time.
        slow_evaluation: keys of trials that were evaluated for longer than they were trained.
    """

    trials: int
    of: int
    train_s: float
    eval_s: float
    rest_s: float
    waited_s: float
    tail_s: float
    cpu_s: float
    cores: float
    memory_mib: float
    memory_trial: str
    gpu_percent: float
    energy_j: float
    slow_evaluation: tuple[str, ...]

    @property
    def worked_s(self) -> float:
        """All but waiting."""
        return self.train_s + self.eval_s + self.rest_s

    @property
    def held_s(self) -> float:
        """All that workers were there for."""
        return self.worked_s + self.waited_s + self.tail_s

    @property
    def busy_cores(self) -> float:
        """Cores at work in one worker, on average while it worked."""
        return self.cpu_s / self.worked_s if self.worked_s else 0.0


def cost_of(trials: pd.DataFrame) -> Cost | None:
    """The cost of trials, a row each; None if none was measured.

    Columns: `trial`, `phase`, `device`, `started`, `ended`, and, where they are known, `threads`
    and what workers measure by its name in the tracker, such as `system/worker_s`.
    """
    if names.WORKER_S not in trials:
        return None
    measured = trials[trials[names.WORKER_S].notna()]
    if measured.empty:
        return None
    worker, train, evaluation = (
        _column(measured, name) for name in (names.WORKER_S, names.TRAIN_S, names.EVAL_S)
    )
    memory = _column(measured, names.MEMORY_MIB)
    energy, gpu = _column(measured, names.ENERGY_J), _column(measured, names.GPU_PERCENT)
    slow = measured.loc[evaluation > train, "trial"]
    return Cost(
        trials=len(measured),
        of=len(trials),
        train_s=float(train.sum()),
        eval_s=float(evaluation.sum()),
        rest_s=float((worker - train - evaluation).clip(lower=0).sum()),
        waited_s=float(_column(measured, names.WAITED_S).sum()),
        tail_s=sum(tail_seconds(phase) for _, phase in measured.groupby("phase")),
        cpu_s=float(_column(measured, names.CPU_S).sum()),
        cores=_cores(measured, worker),
        memory_mib=float(memory.max()),
        memory_trial=str(memory.set_axis(measured["trial"]).idxmax()) if memory.any() else "",
        gpu_percent=_mean(gpu, worker),
        energy_j=float(energy.sum()) if energy.notna().any() else np.nan,
        slow_evaluation=tuple(str(key) for key in slow),
    )


def tail_seconds(trials: pd.DataFrame) -> float:
    """What a phase's workers waited at its end: from when fewest were last needed less than most.

    trials: with `started` and `ended`; those that go on are left out.
    """
    times = trials[["started", "ended"]].dropna()
    if len(times) < 2:
        return 0.0
    changes = pd.concat(
        [pd.Series(1, index=times["started"]), pd.Series(-1, index=times["ended"])]
    ).sort_index(kind="stable")
    running = changes.groupby(level=0).sum().cumsum()
    most = int(running.max())
    tail = running[running[::-1].ge(most).idxmax() :]
    seconds = tail.index.to_series().diff().shift(-1).dt.total_seconds().fillna(0.0)
    return float(((most - tail) * seconds).sum())


def findings(cost: Cost) -> list[str]:
    """What was wasted, a sentence each; none where nothing notable was."""
    sentences = []
    held = cost.held_s or 1.0
    if (share := (cost.waited_s + cost.tail_s) / held) > NOTABLE:
        mostly = (
            "at the end of a phase: fewer workers, or more trials, would waste less"
            if cost.tail_s > cost.waited_s
            else "between trials"
        )
        sentences.append(
            f"Workers had nothing to train for {share:.0%} of their time, most of it {mostly}."
        )
    if cost.slow_evaluation:
        count, first = len(cost.slow_evaluation), cost.slow_evaluation[0]
        sentences.append(
            f"Evaluation took longer than training in {count:,} of {cost.trials:,} trials (such as "
            f"{first}): evaluate fewer extras, or train on more images per epoch."
        )
    if cost.rest_s / held > NOTABLE:
        rest = f"{cost.rest_s / held:.0%}"
        sentences.append(f"Opening trials, checkpoints and final tests took {rest} of the time.")
    if cost.cores >= 2 and cost.busy_cores < BUSY * cost.cores:
        sentences.append(
            f"A worker kept {cost.busy_cores:.1f} of its {cost.cores:.0f} cores busy: more workers "
            "with fewer threads each would train more."
        )
    if cost.gpu_percent < 100 * BUSY:
        sentences.append(
            f"The GPU was at work for {cost.gpu_percent:.0f} % of the time: more trials at once "
            "would fit."
        )
    return sentences


def _column(trials: pd.DataFrame, name: str) -> pd.Series[float]:
    return trials[name] if name in trials else pd.Series(np.nan, trials.index)


def _cores(trials: pd.DataFrame, weights: pd.Series[float]) -> float:
    if (trials["device"] == "cuda").any() or "threads" not in trials:
        return 0.0
    return _mean(pd.to_numeric(trials["threads"]).astype(float), weights)


def _mean(values: pd.Series[float], weights: pd.Series[float]) -> float:
    there = values.notna()
    total = float(weights[there].sum())
    return float((values[there] * weights[there]).sum() / total) if total else np.nan
