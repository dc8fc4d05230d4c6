"""The training part of an epoch alone: this project's trial against the usual loop.

    python -m benchmarks.training_part --model mlp --rounds 5
    python -m benchmarks.training_part --model conv --images 10000 --rounds 5

`usual` is the loop of `benchmarks.usual_way`: torchvision images through ToTensor and DataLoader,
sigmoid and cross-entropy, torch's default Adam. `ours` is a trial. Real Fashion-MNIST, one thread
each, taken in turn; the last columns say what validation on 5,000 images adds to ours.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks import measuring, usual_way
from benchmarks.studies_per_hour import prepare
from vae_trainables import datasets, models
from vae_trainables.config import TrialConfig
from vae_trainables.train import Trial, TrialData


class Usual:
    """A plain loop over a DataLoader."""

    def __init__(self, config: TrialConfig, folder: Path, images: int) -> None:
        self.config = config
        self.model = models.build(config)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr)
        data = usual_way.load(str(folder), True, images)
        self.batches = DataLoader(data, config.batch_size, shuffle=True)

    def epoch(self) -> None:
        """Train once over the images."""
        usual_way.train_epoch(self.model, self.optimizer, self.batches, self.config.beta)


class Ours:
    """A trial; keeps what share of its epochs validation takes."""

    def __init__(self, config: TrialConfig) -> None:
        train, val = (datasets.load("fashion-mnist", split) for split in ("train", "val"))
        self.trial = Trial(config, TrialData(train, val))
        self.shares: list[float] = []

    def epoch(self) -> float:
        """Seconds of training."""
        found = self.trial.run_epoch()
        train, evaluate = found["time/epoch_s"], found["time/eval_s"]
        self.shares.append(evaluate / (train + evaluate))
        return train


def main() -> None:
    """Measure and publish."""
    options = measuring.parser(__doc__).parse_args()
    device = measuring.prepare(options)
    config = measuring.workload(
        options.model, threads=options.threads, train_size=options.images, beta_schedule="constant"
    )
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch))
        usual, ours = Usual(config, Path(scratch), options.images), Ours(config)
        times = measuring.interleaved(
            {"usual": partial(measuring.seconds, usual.epoch, device), "ours": ours.epoch},
            options.rounds,
        )
    speed_up = measuring.ratios(times, "ours")["usual"]
    share = statistics.median(ours.shares[1:])
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows: list[list[Any]] = [[options.model, *medians.values(), speed_up, f"{share:.1%}"]]
    result = {"seconds": times, "ratio": speed_up, "validation_share": share}
    columns = ["model", "usual s", "ours s", "ratio", "validation of ours"]
    measuring.publish(options, result, columns, rows)


if __name__ == "__main__":
    main()
