"""The thin Tune trainable around a trial, and the data as workers receive it."""

from __future__ import annotations

import resource
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune

from studies.workers.metering import Meter
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.numerics.allocator import keep_freed_memory
from vae_trainables.source import Source
from vae_trainables.training.session import Session

GIB = 2**30


def pack(data: TrialData) -> dict[str, Any]:
    """Arrays for Ray's object store: every worker of a node reads the same memory."""
    splits = {"train": data.train, "val": data.val, "test": data.test}
    packed: dict[str, Any] = {
        name: (split.images.numpy(), split.labels.numpy(), split.classes, split.labelled)
        for name, split in splits.items()
        if split is not None
    }
    for name, net in (("feature_net", data.feature_net), ("classifier", data.classifier)):
        if net is not None:
            packed[name] = {key: tensor.numpy() for key, tensor in net.items()}
    return packed


def unpack(packed: dict[str, Any]) -> TrialData:
    """Tensors over the arrays of `pack`, without a copy."""

    def split(name: str) -> Split | None:
        if name not in packed:
            return None
        images, labels, classes, labelled = packed[name]
        return Split(_tensor(images), _tensor(labels), classes, labelled)

    train, val = split("train"), split("val")
    if train is None or val is None:
        raise ValueError("the packed data lacks its train or val split")
    nets = [
        {key: torch.from_numpy(np.array(value)) for key, value in packed[name].items()}
        if name in packed
        else None
        for name in ("feature_net", "classifier")
    ]
    return TrialData(train, val, split("test"), *nets)


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shared memory is read-only, and we only read it
        return torch.from_numpy(array)


class TrialTrainable(tune.Trainable):
    """Trains one configuration after another: the process, its imports and its data are reused."""

    def setup(
        self,
        config: dict[str, Any],
        data: dict[str, Any],
        device: str,
        memory_gb: float | None,
        source: str | None = None,
    ) -> None:
        """Called once per process, with the first configuration; `source`: the user's own file."""
        if source is not None:
            Source.from_json(source).load()
        if memory_gb is not None:
            limit = int(memory_gb * GIB)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        keep_freed_memory()
        self.data, self.device = unpack(data), device
        self.evaluator = Evaluator(self.data, torch.device(device))
        self.meter = Meter(device)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up the next trial in the same process."""
        self.session = Session(
            TrialConfig.model_validate_json(new_config["config"]),
            self.data,
            Path(new_config["folder"]),
            open_test=new_config["open_test"],
            device=self.device,
            evaluator=self.evaluator,
        )
        return True

    def step(self) -> dict[str, Any]:
        """One epoch."""
        self.meter.begin()
        record = self.session.next_record()
        self.meter.end([record])
        return {"record": record.to_json(), "done": record.outcome != "running"}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the session keeps its own checkpoints, which outlive the driver."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: the session finds its newest checkpoint itself."""
