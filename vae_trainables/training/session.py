"""A trial as its runner sees it: one record per epoch, and the truth about how it ended.

A session continues from the newest whole checkpoint in its folder and first repeats the records
that the checkpoint holds, so that a runner which died before noting one down misses nothing.
"""

from __future__ import annotations

import errno
import json
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import Evaluator, Tested
from vae_trainables.numerics.precision import effective
from vae_trainables.training.trial import DivergedError, Trial

T = TypeVar("T")
Outcome = Literal["running", "finished", "failed", "diverged", "out_of_memory", "unsaved"]
"""Of an epoch; `unsaved`: the storage took no checkpoint, which is no fault of the trial."""

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
ROBUSTNESS = "robustness.json"
TEST_IMAGES = "test_images.npz"
ERROR = "error.txt"
_STORAGE_FAILED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE}
_ALLOCATION_FAILED = (
    "can't allocate memory",
    "not enough memory",
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


@dataclass
class Record:
    """What a trial says after an epoch: metrics by name, or no metrics and why it ended."""

    epoch: int
    outcome: Outcome
    reason: str = ""
    time_ms: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    how: dict[str, str] = field(default_factory=dict)
    """What a repetition must know, in the first record that a session tells: the backend of the
    random numbers as `random`, `Trial.way` as `way`."""
    spent: dict[str, float] = field(default_factory=dict)
    """`Trial.spent`; empty where the record repeats an epoch that was trained before."""

    def to_json(self) -> str:
        """One text, to be sent between processes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Record:
        """The record that `to_json` wrote."""
        return cls(**json.loads(text))


class Session:
    """One trial in `folder`, from wherever it stands to its end.

    open_test: whether the end includes the one look at the test split and the robustness grid.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: TrialData,
        folder: Path,
        *,
        open_test: bool,
        device: str = "cpu",
        evaluator: Evaluator | None = None,
        trial_type: Callable[..., Trial] = Trial,
        save_every_s: float = 0.0,
        keep_at: Collection[int] = (),
    ) -> None:
        """trial_type makes the trial from what `Trial` takes.

        save_every_s: least time between checkpoints, 0: one per epoch. What a crash loses is then
        trained again, to the same bits; a runner hears of those epochs twice. keep_at: epochs that
        always have one, for what may go on from them.
        """
        self.config, self.data, self.folder, self.open_test = config, data, folder, open_test
        self.device, self.evaluator = device, evaluator
        self.trial_type, self.save_every_s = trial_type, save_every_s
        self.keep_at = frozenset(keep_at)
        self.trial: Trial | None = None
        self._told = 0
        self._saved_at, self._saved_epoch = time.monotonic(), 0
        self._notes: list[str] = []
        self._how: dict[str, str] = {}

    @property
    def replaying(self) -> bool:
        """Whether the next record repeats an epoch that the checkpoint holds already."""
        return self.trial is not None and self._told < len(self.trial.history)

    def open(self) -> Record | None:
        """Bring the trial to where its checkpoint left it; a record only if that was its end."""
        opened = self._guarded(self._open)
        return opened if isinstance(opened, Record) else None

    def next_record(self) -> Record:
        """The next epoch's record; an exception of the trial becomes the record of its end."""
        return self._guarded(self._next)

    def _guarded(self, act: Callable[[], T]) -> T | Record:
        try:
            return act()
        except DivergedError as error:
            return self._end("diverged", str(error))
        except Exception as error:
            outcome = outcome_of(error)
            trouble = self._keep_traceback() if outcome == "failed" else ""
            return self._end(outcome, f"{type(error).__name__}: {_first_line(error)}{trouble}")

    def _next(self) -> Record:
        trial = self._open()
        fresh = not self.replaying
        if fresh:
            trial.run_epoch()
            self._save(trial)
        entry = trial.history[self._told]
        self._told += 1
        last = trial.done and not self.replaying
        metrics = entry["metrics"] | (self._finish(trial) if last else {})
        notes, self._notes = self._notes, []
        how, self._how = self._how, {}
        outcome: Outcome = "finished" if last else "running"
        spent = trial.spent if fresh else {}
        return Record(entry["epoch"], outcome, "", entry["time_ms"], metrics, notes, how, spent)

    def _open(self) -> Trial:
        if self.trial is None:
            torch.set_num_threads(self.config.threads)
            trial = self.trial_type(
                self.config, self.data, device=self.device, evaluator=self.evaluator
            )
            self._notes += trial.resume(self.folder) + self._omissions(trial)
            precision = effective(self.config.optimiser.precision, trial.device)
            if precision != self.config.optimiser.precision:
                self._notes.append(
                    f"{self.config.optimiser.precision} is {precision} on {trial.device}"
                )
            self._saved_epoch = trial.epoch
            self._how = {"random": trial.streams.backend, "way": trial.way}
            self.trial = trial
        return self.trial

    def _omissions(self, trial: Trial) -> list[str]:
        """Which figures the data do not allow, those of the trial's end included."""
        return [
            f"{split}/{name} is left out: {reason}"
            for split in (("val", "test") if self.open_test else ("val",))
            for name, reason in trial.evaluator.omitted(self.config, split).items()
        ]

    def keep(self) -> Record | None:
        """Write a checkpoint of the last epoch now; a record only if that was the trial's end."""
        if self.trial is None or self.trial.epoch == self._saved_epoch:
            return None
        return self._guarded(partial(self._write, self.trial))

    def _save(self, trial: Trial) -> None:
        due = time.monotonic() - self._saved_at >= self.save_every_s
        if due or trial.done or trial.epoch in self.keep_at:
            self._write(trial)

    def _write(self, trial: Trial) -> None:
        trial.save(self.folder)
        self._saved_at, self._saved_epoch = time.monotonic(), trial.epoch

    def _finish(self, trial: Trial) -> dict[str, float]:
        """Leave the weights behind and, where allowed, open the test split."""
        trial.save_weights(self.folder / WEIGHTS)
        (self.folder / CONFIG).write_text(self.config.model_dump_json(indent=1))
        if not self.open_test:
            return {}
        rows = trial.evaluator.robustness(trial.model, self.config)
        (self.folder / ROBUSTNESS).write_text(json.dumps(rows))
        tested = trial.evaluator.test(trial.model, self.config)
        self._keep_images(trial.evaluator, tested)
        return tested.figures

    def _keep_images(self, evaluator: Evaluator, tested: Tested) -> None:
        """What each test image got, float32 `(N,)` by name, beside its label."""
        arrays: dict[str, Any] = {name: values.numpy() for name, values in tested.images.items()}
        assert evaluator.data.test is not None  # it was opened
        labels = evaluator.data.test.labels.numpy()
        np.savez_compressed(self.folder / TEST_IMAGES, labels=labels, **arrays)

    def _end(self, outcome: Outcome, reason: str) -> Record:
        epoch = self.trial.epoch if self.trial is not None else 0
        self.trial = None
        return Record(epoch, outcome, reason)

    def _keep_traceback(self) -> str:
        """Write it down; what the reason says where even that fails, on a full disk."""
        text = traceback.format_exc()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ERROR).write_text(text)
        except OSError as error:
            return f" (no traceback kept: {error.strerror})"
        return ""


def outcome_of(error: Exception) -> Outcome:
    """How a trial has ended that raised `error`."""
    if is_out_of_memory(error):
        return "out_of_memory"
    if isinstance(error, OSError) and error.errno in _STORAGE_FAILED:
        return "unsaved"
    return "failed"


def is_out_of_memory(error: Exception) -> bool:
    """Whether the host or the device had no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(t in str(error) for t in _ALLOCATION_FAILED)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]
