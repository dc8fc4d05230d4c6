"""Weights that change while training: beta and learning rate as pure functions of the step.

A pure schedule has nothing to save, so a resumed trial continues on the same curve. The two that
must remember, `Plateau` and `EarlyStopping`, keep plain numbers and watch only after warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from vae_trainables.config import BETA_SCHEDULES, ObjectiveConfig, OptimiserConfig, TrialConfig


def beta(objective: ObjectiveConfig, step: int, steps_per_epoch: int) -> float:
    """Weight of the KL at `step` (0-based, counted over all epochs), in [0, beta].

    Over `warmup_epochs` epochs, which is the period of the cyclical schedule. With 0 of
    them every schedule is constant.
    """
    if step < 0 or steps_per_epoch < 1:
        raise ValueError(
            f"step {step} must be at least 0 and steps_per_epoch {steps_per_epoch} at least 1"
        )
    if objective.warmup_epochs == 0:
        return objective.beta
    return objective.beta * _RISES[objective.beta_schedule](
        step, steps_per_epoch, objective.warmup_epochs
    )


Rise = Callable[[int, int, int], float]
"""Of step (0-based, over all epochs), steps per epoch and `warmup_epochs` (> 0): in [0, 1]."""


def register(name: str) -> Callable[[Rise], Rise]:
    """Decorator: a β schedule of one's own, from then on a value of `beta_schedule`.

    Its function gives the share of β at a step: `rise(step, steps_per_epoch, warmup_epochs)`. It
    is a pure function, so that a resumed trial goes on on the same curve.

    Raises ValueError for a name that is taken, or for shares outside of [0, 1].
    """

    def take(rise: Rise) -> Rise:
        for step in range(0, 120, 3):
            if not 0.0 <= rise(step, 10, 4) <= 1.0:
                raise ValueError(f"the β schedule {name!r} leaves [0, 1] at step {step}")
        BETA_SCHEDULES.add(name, rise.__module__)
        _RISES[name] = rise
        return rise

    return take


def remove(name: str) -> None:
    """Take a schedule out again, as a test does with its own."""
    BETA_SCHEDULES.remove(name)
    del _RISES[name]


def moves_within_epochs(objective: ObjectiveConfig) -> bool:
    """Whether β may differ from step to step, and not from epoch to epoch alone."""
    return objective.warmup_epochs > 0 and objective.beta_schedule not in ("constant", "linear")


def _constant(step: int, steps_per_epoch: int, warmup: int) -> float:
    return 1.0


def _linear(step: int, steps_per_epoch: int, warmup: int) -> float:
    """A staircase, one tread per epoch: epoch 1 has 1 / warmup, as in reference system R2."""
    epoch = step // steps_per_epoch + 1
    return min(1.0, epoch / warmup)


def _cosine(step: int, steps_per_epoch: int, warmup: int) -> float:
    """Half a cosine from 0 to 1, flat at both ends."""
    return 0.5 - 0.5 * math.cos(math.pi * _progress(step, steps_per_epoch, warmup))


def _sigmoid(step: int, steps_per_epoch: int, warmup: int) -> float:
    """The logistic curve between -6 and 6, stretched so that it starts at 0 and ends at 1."""
    steepness = 6.0
    centred = 2.0 * _progress(step, steps_per_epoch, warmup) - 1.0
    # tanh(x / 2) is the logistic curve on [-1, 1]: symmetric, so both ends are met exactly.
    return 0.5 + 0.5 * math.tanh(0.5 * steepness * centred) / math.tanh(0.5 * steepness)


def _cyclical(step: int, steps_per_epoch: int, warmup: int) -> float:
    """Fu et al. 2019, R = 0.5: each period rises from 0 to 1 in its first half, then stays."""
    period = warmup * steps_per_epoch
    return min(1.0, 2.0 * (step % period) / period)


def _progress(step: int, steps_per_epoch: int, warmup: int) -> float:
    return min(1.0, step / (warmup * steps_per_epoch))


_RISES: dict[str, Rise] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "sigmoid": _sigmoid,
    "cyclical": _cyclical,
}


def warmup_epochs(objective: ObjectiveConfig) -> int:
    """Epochs whose validation figures the beta schedule still moves; 0 if it is constant."""
    return 0 if objective.beta_schedule == "constant" else objective.warmup_epochs


def settled(config: TrialConfig, epoch: int) -> bool:
    """Whether beta was at its largest in the second half of `epoch` (1-based), or weighs nothing.

    Only then is a figure that beta moves, such as the MSE, comparable with another trial's: early
    in a warm-up it is flattered, and at each beginning of the cyclical schedule again.
    """
    return settled_share(config, epoch) == 1.0


def settled_share(config: TrialConfig, epoch: int) -> float:
    """The least share of its largest that beta was at in the second half of `epoch` (1-based).

    1 where it weighs nothing.
    """
    objective = config.objective
    if not config.model.variational or objective.beta == 0:
        return 1.0
    steps = 1000  # of an epoch; any even number gives the same, schedules depend on the share
    middle, last = (epoch - 1) * steps + steps // 2, epoch * steps - 1
    return min(beta(objective, step, steps) for step in (middle, last)) / objective.beta


def lr(optimiser: OptimiserConfig, step: int, total_steps: int) -> float:
    """Learning rate at `step` (0-based) of `total_steps`.

    cosine falls from `lr` at step 0 to 0 at total_steps (Loshchilov & Hutter 2017, without
    restarts). constant and plateau give `lr`, which `Plateau.scale` then multiplies.
    """
    if step < 0 or total_steps < 1:
        raise ValueError(f"step {step} must be at least 0 and total_steps {total_steps} at least 1")
    if optimiser.lr_schedule == "cosine":
        return optimiser.lr * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / total_steps)))
    return optimiser.lr


@dataclass
class _Stagnation:
    """Epochs since a watched figure, lower is better, was last at its best; None: none seen."""

    best: float | None = None
    bad_epochs: int = 0

    def update(self, value: float) -> None:
        """Only a number below the best resets the count: NaN and infinity are bad epochs."""
        if value < (math.inf if self.best is None else self.best):
            self.best, self.bad_epochs = value, 0
        else:
            self.bad_epochs += 1


def _heard(config: TrialConfig, epoch: int) -> bool:
    """Whether a watcher listens: behind the warm-up, and not where the cycle begins anew."""
    return epoch > warmup_epochs(config.objective) and settled(config, epoch)


class Plateau:
    """Halves the learning rate when a validation figure, `config.budget.watch`, stops falling.

    As torch's ReduceLROnPlateau with threshold 0, but deaf until beta has risen: warm-up itself
    raises a weighted loss, and in reference system R2 that alone cost the learning rate a half.
    Does nothing unless `config.optimiser.lr_schedule` is "plateau".
    """

    def __init__(self, config: TrialConfig, *, factor: float = 0.5, patience: int = 2) -> None:
        """`patience` bad epochs are forgiven; one more multiplies `scale` by `factor`."""
        if not 0 < factor < 1:
            raise ValueError(f"factor {factor} must lie between 0 and 1, both excluded")
        if patience < 0:
            raise ValueError(f"patience {patience} must be at least 0 epochs")
        self.factor, self.patience = factor, patience
        self.scale = 1.0  # multiplies the learning rate
        self._config = config
        self._watch = _Stagnation()

    def update(self, epoch: int, value: float) -> float:
        """Take the figure of `epoch` (1-based), lower is better; returns the new `scale`."""
        if self._config.optimiser.lr_schedule == "plateau" and _heard(self._config, epoch):
            self._watch.update(value)
            if self._watch.bad_epochs > self.patience:
                self.scale *= self.factor
                self._watch.bad_epochs = 0
        return self.scale

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers (None before the first figure), fit for JSON."""
        return {"scale": self.scale, **asdict(self._watch)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`; factor and patience stay as constructed."""
        self.scale = state["scale"]
        self._watch = _Stagnation(state["best"], state["bad_epochs"])


class EarlyStopping:
    """Stops after `patience` epochs in a row, warm-up excepted, without a best; 0: never.

    A best of the same figure that `Plateau` watches.
    """

    def __init__(self, config: TrialConfig) -> None:
        self.patience = config.budget.patience
        self._config = config
        self._watch = _Stagnation()

    def update(self, epoch: int, value: float) -> bool:
        """Take the figure of `epoch` (1-based), lower is better; True: stop now."""
        if _heard(self._config, epoch):
            self._watch.update(value)
        return 0 < self.patience <= self._watch.bad_epochs

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers (None before the first figure), fit for JSON."""
        return asdict(self._watch)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`; patience stays as constructed."""
        self._watch = _Stagnation(state["best"], state["bad_epochs"])
