"""The training part of an epoch alone: this project's trial against the usual loop.

    python -m benchmarks.training_part --model mlp --rounds 5
    python -m benchmarks.training_part --model conv --images 10000 --rounds 5

`usual` is the loop of `benchmarks.usual_way`: a plain model, torchvision images through ToTensor
and DataLoader, sigmoid and cross-entropy, torch's default Adam. `ours` is a trial as a worker runs
it. Real Fashion-MNIST, a process and a thread each, taken in turn; the last column says what
validation on 5,000 images adds to ours.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks import measuring, real_images, usual_way
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.numerics.allocator import keep_freed_memory
from vae_trainables.training.trial import Trial

CPU = torch.device("cpu")


class Usual:
    """A plain loop over a DataLoader."""

    def __init__(self, config: TrialConfig, folder: str) -> None:
        self.beta = config.objective.beta
        self.model = usual_way.build(config.model.kind, config.model.latent_dim)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.optimiser.lr)
        data, _ = usual_way.load(folder, config.data.train_size or 0, 0)
        self.batches = DataLoader(data, config.optimiser.batch_size, shuffle=True)

    def epoch(self) -> tuple[float, float]:
        """Seconds of training, and of validation: none."""
        return measuring.seconds(self._epoch, CPU), 0.0

    def _epoch(self) -> None:
        usual_way.train_epoch(self.model, self.optimizer, self.batches, self.beta)


class Ours:
    """A trial."""

    def __init__(self, config: TrialConfig, folder: str) -> None:
        keep_freed_memory()
        train, val, _ = real_images.load("fashion-mnist")
        self.trial = Trial(config, TrialData(train, val))

    def epoch(self) -> tuple[float, float]:
        """Seconds of training and of validation."""
        found = self.trial.run_epoch()
        return found["time/epoch_s"], found["time/eval_s"]


class Contestant:
    """One of them in a process of its own: what one does to its memory is not the other's gain."""

    def __init__(self, kind: type[Usual | Ours], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, context, _take_up, (kind, *arguments))
        self.shares: list[float] = []

    def epoch(self) -> float:
        """Seconds of training."""
        train, evaluate = self.pool.submit(_epoch).result()
        self.shares.append(evaluate / (train + evaluate))
        return train


_contestant: Usual | Ours


def _take_up(kind: type[Usual | Ours], config: TrialConfig, folder: str) -> None:
    global _contestant
    torch.set_num_threads(config.threads)
    _contestant = kind(config, folder)


def _epoch() -> tuple[float, float]:
    return _contestant.epoch()


def main() -> None:
    """Measure and publish."""
    options = measuring.parser(__doc__).parse_args()
    measuring.prepare(options)
    config = measuring.workload(
        options.model, threads=options.threads, train_size=options.images, beta_schedule="constant"
    )
    with tempfile.TemporaryDirectory() as scratch:
        real_images.write_for_torchvision(Path(scratch))
        usual, ours = Contestant(Usual, config, scratch), Contestant(Ours, config, scratch)
        times = measuring.interleaved({"usual": usual.epoch, "ours": ours.epoch}, options.rounds)
        usual.pool.shutdown()
        ours.pool.shutdown()
    speed_up = measuring.ratios(times, "ours")["usual"]
    share = statistics.median(ours.shares[1:])
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows: list[list[Any]] = [[options.model, *medians.values(), speed_up, f"{share:.1%}"]]
    result = {"seconds": times, "ratio": speed_up, "validation_share": share}
    columns = ["model", "usual s", "ours s", "ratio", "validation of ours"]
    measuring.publish(options, result, columns, rows)


if __name__ == "__main__":
    main()
