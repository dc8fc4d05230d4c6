"""A trial whose epochs are trained in lock-step with others; all else of it is its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.models import Autoencoder
from vae_trainables.numerics.streams import Backend
from vae_trainables.training.adam import AdamState
from vae_trainables.training.trial import Trial

Store = Callable[[nn.Module, AdamState], None]


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
    together: int = 1
    """How many members they are."""


class Member(Trial):
    """A `Trial` in a slot.

    Its model and Adam's state are brought up to date when they are looked at: most epochs end
    without a checkpoint, and then nothing of a row is copied.
    """

    way = "cohort"
    _store: Store | None = None

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

    def trained_elsewhere(self, store: Store) -> None:
        """An epoch has been trained in a slot; `store` brings it to a model and its Adam."""
        self._store = store

    def catch_up(self) -> None:
        """Copy model and Adam's state from the slot, where that has not been done yet."""
        store, self._store = self._store, None
        if store is not None:
            store(self._model, self.optimizer.state)

    @property
    def model(self) -> Autoencoder:
        """As the last epoch has left the slot."""
        self.catch_up()
        return self._model

    @model.setter
    def model(self, model: Autoencoder) -> None:
        self._model = model

    @property
    def noise_dim(self) -> int:
        """See `Trial.noise_dim`; no look at a weight."""
        return self._model.noise_dim

    def run_epoch(self) -> dict[str, float]:
        """Take over the epoch that the cohort has trained; see `Trial.run_epoch`."""
        trained, self.trained = self.trained, None
        if trained is None:
            raise RuntimeError("a member's epochs come from its cohort: call Cohort.run_epoch")
        means = self._finite(trained.means)
        started = time.perf_counter()
        validation = self._validation(trained)
        own_s = time.perf_counter() - started
        self.spent = {
            "train_s": trained.train_s / trained.together,
            "eval_s": trained.eval_s / trained.together + own_s,
        }
        return self._end_epoch(means, validation, (trained.train_s, trained.eval_s + own_s))

    def _validation(self, trained: Trained) -> dict[str, float]:
        config = self.now
        if "val/probe" in trained.validation:
            rest = tuple(name for name in config.evaluation.extras if name != "probe")
            config = config.model_copy(update={"evaluations": rest})
        extras = self.evaluator.extras(self.model, config) if config.evaluation.extras else {}
        return trained.validation | {f"val/{name}": value for name, value in extras.items()}
