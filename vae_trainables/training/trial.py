"""One trial, readable top to bottom: the specification that every faster path must equal.

`Trial.run_epoch` trains one epoch and evaluates; `save`/`resume` continue bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from vae_trainables import checkpoint, models
from vae_trainables.config import Evaluation, TrialConfig
from vae_trainables.datasets import binarising, noise
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import Evaluator, as_float
from vae_trainables.models import Autoencoder, ModelOutput, dropout
from vae_trainables.numerics.precision import arithmetic, products
from vae_trainables.numerics.streams import Backend, Streams
from vae_trainables.objective import losses
from vae_trainables.training import schedules
from vae_trainables.training.adam import Adam


class DivergedError(Exception):
    """The training loss became NaN or infinite."""


class Trial:
    """A model, its optimizer and its schedules, somewhere between epoch 0 and its last."""

    way = "alone"
    """How its epochs are trained: a cohort's sums are in another order."""

    def __init__(
        self,
        config: TrialConfig,
        data: TrialData,
        *,
        device: torch.device | str = "cpu",
        evaluator: Evaluator | None = None,
        backend: Backend | None = None,
    ) -> None:
        """backend: of its random numbers; by default what suits the device, see `streams`."""
        self.config = config
        self.now = config.at(1)
        """What holds in the epoch that is trained, where `config` has a lineage."""
        self.device = torch.device(device)
        self.train = data.train.take(config.data.train_size)
        self.images = self.train.images.to(self.device)
        self.labels = self.train.labels.to(self.device)
        self.streams = Streams(config.seed, self.device, backend)
        self.model = build_model(config).to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = build_optimizer(self.model, self.now)
        self.loss = losses.TrialLoss(self.now)
        self._drops_out = dropout.has_layers(self.model)
        self.plateau = schedules.Plateau(config)
        self.early_stopping = schedules.EarlyStopping(config)
        self.evaluator = evaluator or Evaluator(data, self.device)
        self.epoch = 0
        self.stopped_early = False
        self.spent: dict[str, float] = {}
        """Seconds of this process for the last epoch, `train_s` and `eval_s`; of what trials do
        together, this trial's part."""
        self.history: list[dict[str, Any]] = []

    @property
    def noise_dim(self) -> int:
        """Standard normal numbers that the model needs per image."""
        return self.model.noise_dim

    @property
    def batch_size(self) -> int:
        """Images per step; a data set smaller than one batch is one batch."""
        return min(self.config.optimiser.batch_size, len(self.images))

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches per epoch; the rest sits out, another rest each epoch."""
        return len(self.images) // self.batch_size

    @property
    def done(self) -> bool:
        """True once no epoch is left, or early stopping has ended the trial."""
        return self.stopped_early or self.epoch >= self.config.budget.epochs

    def run_epoch(self) -> dict[str, float]:
        """Train one epoch and evaluate on validation; metrics as listed in the reference docs.

        They also become an entry of `history`: epoch (from 1), time_ms (since 1970), metrics.
        Raises DivergedError once the summed training loss is not finite.
        """
        started = time.perf_counter()
        self.model.train()
        means = self._finite(self._train_epoch())
        trained = time.perf_counter()
        validation = self.evaluator.validate(self.model, self.now)
        seconds = trained - started, time.perf_counter() - trained
        self.spent = dict(zip(("train_s", "eval_s"), seconds, strict=True))
        return self._end_epoch(means, validation, seconds)

    def _train_epoch(self) -> dict[str, float]:
        """Every whole batch once; the means of what the loss computes."""
        self.take_up()
        totals = torch.zeros(len(self.loss.computed), device=self.device)
        order = self.streams.permutation(self.epoch, len(self.images))
        with arithmetic(self.config.optimiser.precision, self.device):  # of the backward passes too
            for i in range(self.steps_per_epoch):
                batch = order[i * self.batch_size : (i + 1) * self.batch_size]
                totals += self._train_step(self.epoch * self.steps_per_epoch + i, batch)
        values = (totals / self.steps_per_epoch).tolist()
        return dict(zip(self.loss.computed, values, strict=True))

    def take_up(self) -> bool:
        """Let hold what does in the epoch to come; whether that differs from what held."""
        now = self.config.at(self.epoch + 1)
        if now is self.now:
            return False
        self.now, self.loss = now, losses.TrialLoss(now)
        self.optimizer.weight_decay = now.optimiser.weight_decay
        return True

    def _finite(self, means: Mapping[str, float]) -> dict[str, float]:
        """An epoch's mean loss terms by metric, or the end of a trial that has diverged."""
        own = self.loss.own(means)
        if not all(math.isfinite(value) for value in own):
            raise DivergedError(f"training loss is {means['loss']} in epoch {self.epoch + 1}")
        return {f"train/{name}": value for name, value in zip(self.loss.logged, own, strict=True)}

    def _end_epoch(
        self, means: dict[str, float], validation: dict[str, float], seconds: tuple[float, float]
    ) -> dict[str, float]:
        """Count the epoch, let the schedules adapt, note it all down; seconds: train, evaluate."""
        self.epoch += 1
        last_step = self.epoch * self.steps_per_epoch - 1
        metrics = means | {"beta": self.beta(last_step), "lr": self.lr(last_step)} | validation
        self._adapt(metrics)
        metrics["time/epoch_s"], metrics["time/eval_s"] = seconds
        now = time.time_ns() // 1_000_000
        self.history.append({"epoch": self.epoch, "time_ms": now, "metrics": metrics})
        return metrics

    def _train_step(self, step: int, batch: Tensor) -> Tensor:
        """One optimizer step on the images of indices `batch`; the terms that are logged."""
        config = self.now
        grey = as_float(self.images.index_select(0, batch))
        clean = binarised(grey, config, self.streams, step)
        labels = self.labels.index_select(0, batch)
        noisy = add_noise(clean, config, self.streams, step)
        eps = None
        if config.model.variational:
            eps = self.streams.normal("latent", step, (len(batch), self.noise_dim))
        if self._drops_out:
            dropout.set_key(self.model, config.seed, step)
        self.optimizer.lr = self.lr(step)
        with products(config.optimiser.precision, self.device):
            output: ModelOutput = self.model(noisy, eps, labels)
        terms = self.loss(output.in_float32(), clean, labels, self.beta(step))
        self.optimizer.zero_grad()
        terms.loss.backward()
        self.optimizer.step()
        return terms.shown()

    def beta(self, step: int) -> float:
        """Weight of the KL at `step`, counted from 0 over all epochs."""
        return schedules.beta(self.now.objective, step, self.steps_per_epoch)

    def lr(self, step: int) -> float:
        """Learning rate at `step`, as the plateau schedule stands now."""
        total = self.config.budget.epochs * self.steps_per_epoch
        return schedules.lr(self.now.optimiser, step, total) * self.plateau.scale

    def _adapt(self, metrics: dict[str, float]) -> None:
        """Plateau and early stopping, where either is on, watch `config.budget.watch`."""
        config = self.config
        if config.optimiser.lr_schedule != "plateau" and not config.budget.patience:
            return
        value = metrics.get(config.budget.watch)
        if value is None:
            self._check_watch(metrics)
            return
        signed = -value if config.budget.watch_direction == "maximize" else value
        self.plateau.update(self.epoch, signed)
        self.stopped_early = self.early_stopping.update(self.epoch, signed)

    def _check_watch(self, metrics: dict[str, float]) -> None:
        """An extra may be missing where it cannot be computed; no metric has another name."""
        if self.config.budget.watch.removeprefix("val/") not in get_args(Evaluation):
            names = ", ".join(sorted(name for name in metrics if name.startswith("val/")))
            raise ValueError(
                f"watch = {self.config.budget.watch!r} is no metric; there are {names}"
            )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that the rest of the training depends on: tensors, and JSON-able facts."""
        weights = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        meta = {
            "config": self.config.flat(),
            "epoch": self.epoch,
            "stopped_early": self.stopped_early,
            "plateau": self.plateau.state_dict(),
            "early_stopping": self.early_stopping.state_dict(),
            "history": self.history,
        }
        return weights | self.optimizer.tensors(), meta

    def load_state(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Continue from `state()` of a trial of the same past; ValueError if it is another.

        A setting that is younger than the state had its default then.
        """
        before, epoch = TrialConfig.model_validate(meta["config"]), max(meta["epoch"], 1)
        if before != self.config and before.past(epoch) != self.config.past(epoch):
            raise ValueError("the checkpoint belongs to another configuration")
        model = {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")}
        self.model.load_state_dict(model)
        self.optimizer.load(item for item in tensors.items() if item[0].startswith("optimizer/"))
        self.epoch = meta["epoch"]
        self.stopped_early = meta["stopped_early"]
        self.plateau.load_state_dict(meta["plateau"])
        self.early_stopping.load_state_dict(meta["early_stopping"])
        self.history = meta["history"]

    def save_weights(self, path: Path) -> None:
        """Write the model alone, with the configuration that `models.build` needs.

        A conditional model brings the classifier that predicts the classes it is told.
        """
        tensors, meta = self.state()
        model = {name: value for name, value in tensors.items() if name.startswith("model/")}
        if self.model.conditional:
            predictor = self.evaluator.data.classifier or {}
            model |= {f"classifier/{name}": value for name, value in predictor.items()}
        meta = {"config": meta["config"], "epoch": self.epoch}
        checkpoint.write_tensors(path, model, meta)

    def save(self, folder: Path) -> Path:
        """Write this epoch's checkpoint into `folder`."""
        return checkpoint.save_checkpoint(folder, self.epoch, *self.state())

    def resume(self, folder: Path) -> list[str]:
        """Continue from the newest whole checkpoint in `folder`; complaints about others."""
        newest, complaints = checkpoint.load_newest(folder)
        if newest is not None:
            self.load_state(*newest)
        return [f"{complaint}; went on from epoch {self.epoch}" for complaint in complaints]


def build_model(config: TrialConfig) -> Autoencoder:
    """The model with the initial weights that belong to `config.seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = models.build(config.model)
    dropout.adopt(model)
    return model


def build_optimizer(model: nn.Module, config: TrialConfig) -> Adam:
    """Adam or AdamW, fused into one kernel per step."""
    return Adam(
        model.parameters(),
        lr=config.optimiser.lr,
        weight_decay=config.optimiser.weight_decay,
        decoupled=config.optimiser.algorithm == "adamw",
    )


def binarised(grey: Tensor, config: TrialConfig, streams: Streams, step: int) -> Tensor:
    """What a step is to reconstruct, `(B, C, H, W)`: drawn anew where `binarise` is dynamic."""
    if config.data.binarise != "dynamic":
        return grey
    return binarising.sampled(grey, streams.uniform("pixels", step, tuple(grey.shape)))


def add_noise(clean: Tensor, config: TrialConfig, streams: Streams, step: int) -> Tensor:
    """The training input `(B, C, H, W)`: fresh noise each step, or `clean` itself at factor 0."""
    top = config.noise.factor_max
    if config.noise.factor == 0 and not top:
        return clean
    factor: float | Tensor = config.noise.factor
    if top is not None:
        share = streams.uniform("factor", step, (len(clean), 1, 1, 1))
        factor = config.noise.factor + (top - config.noise.factor) * share
    draw = streams.normal if noise.random_kind(config.noise.kind) == "normal" else streams.uniform
    return noise.corrupt(config.noise.kind, clean, factor, draw("noise", step, tuple(clean.shape)))
