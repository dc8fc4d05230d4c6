"""A trial whose epochs are trained in lock-step with others; all else of it is its own."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.numerics.streams import Backend
from vae_trainables.training.trial import Trial


@dataclass(frozen=True)
class Trained:
    """What an epoch in lock-step leaves for one member."""

    means: dict[str, float]
    """By name, of the loss and of all terms that the cohort computes."""
    validation: dict[str, float]
    """`val/...` but the extras that members measure by themselves."""
    train_s: float
    """Wall time of the epoch, shared with the other members."""
    eval_s: float


class Member(Trial):
    """A `Trial` in a slot. Its model is brought up to date after each of the cohort's epochs."""

    way = "cohort"

    def __init__(
        self,
        config: TrialConfig,
        data: TrialData,
        *,
        backend: Backend,
        device: torch.device | str = "cpu",
        evaluator: Evaluator | None = None,
    ) -> None:
        super().__init__(config, data, device=device, evaluator=evaluator, backend=backend)
        self.trained: Trained | None = None

    def run_epoch(self) -> dict[str, float]:
        """Take over the epoch that the cohort has trained; see `Trial.run_epoch`."""
        trained, self.trained = self.trained, None
        if trained is None:
            raise RuntimeError("a member's epochs come from its cohort: call Cohort.run_epoch")
        means = self._finite(trained.means)
        started = time.perf_counter()
        validation = self._validation(trained)
        eval_s = trained.eval_s + time.perf_counter() - started
        return self._end_epoch(means, validation, (trained.train_s, eval_s))

    def _validation(self, trained: Trained) -> dict[str, float]:
        config = self.config
        if "val/probe" in trained.validation:
            rest = tuple(name for name in config.evaluations if name != "probe")
            config = config.model_copy(update={"evaluations": rest})
        extras = self.evaluator.extras(self.model, config)
        return trained.validation | {f"val/{name}": value for name, value in extras.items()}
