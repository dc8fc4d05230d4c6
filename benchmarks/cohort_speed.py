"""Cohorts and the lean single trial against an eager loop over resident data; cost against K.

    python -m benchmarks.cohort_speed --model mlp --slots 1 2 4
    python -m benchmarks.cohort_speed --model conv --device cuda --slots 1 2 4 8 16 32 64 128 \\
        --convolution grouped im2col --json conv.json

`eager` is what a careful user writes: the data on the device as float, torch's default Adam,
sigmoid and cross-entropy, no wait per step. `lean` is this project's single trial. `cohort-K` is K
trials in lock-step; on a GPU each step is one CUDA graph unless --no-capture. Rates are trained
images per second, all models of a contestant together, validation and checkpoints not included;
what those add is in the columns eval and other, per model and epoch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F

from benchmarks import measuring
from vae_trainables import models
from vae_trainables.cohort import Assignment, Cohort, Ways
from vae_trainables.cohort.layers import Convolution
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import as_float
from vae_trainables.numerics.streams import Streams
from vae_trainables.training.trial import Trial


class Eager:
    """A plain PyTorch loop over resident data."""

    def __init__(self, config: TrialConfig, data: TrialData, device: torch.device) -> None:
        self.config, self.device = config, device
        self.images = as_float(data.train.images.to(device))
        self.model = models.build(config.model).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.optimiser.lr)

    def epoch(self) -> None:
        """Train once over the data."""
        order = torch.randperm(len(self.images), device=self.device)
        for batch in order.split(self.config.optimiser.batch_size):
            clean = self.images[batch]
            noisy = clean + self.config.noise.factor * torch.randn_like(clean)
            eps = torch.randn(len(batch), self.model.noise_dim, device=self.device)
            output = self.model(noisy.clamp(0, 1), eps)
            image = torch.sigmoid(output.logits)
            recon = F.binary_cross_entropy(image, clean, reduction="sum") / len(batch)
            loss = recon + self.config.objective.beta * output.kl.sum(1).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


class Fused:
    """K trials in a cohort; keeps the seconds per part of its epochs."""

    def __init__(self, cohort: Cohort, folder: Path) -> None:
        self.cohort = cohort
        self.parts: list[tuple[float, float, float]] = []
        for slot in range(cohort.slots):
            config = cohort.config.model_copy(update={"seed": slot})
            cohort.admit(slot, Assignment(config, folder / str(slot)))

    def epoch(self) -> float:
        """Seconds of training."""
        started = time.perf_counter()
        (_, record), *_ = self.cohort.run_epoch()
        whole = time.perf_counter() - started
        train, evaluate = (record.metrics[f"time/{part}_s"] for part in ("epoch", "eval"))
        self.parts.append((train, evaluate, whole - train - evaluate))
        return train


def main() -> None:
    """Measure and publish."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument(
        "--convolution", nargs="+", choices=get_args(Convolution), default=["grouped"]
    )
    parser.add_argument("--val-images", type=int, default=1_000)
    parser.add_argument("--no-capture", action="store_true", help="steps without a CUDA graph")
    parser.add_argument(
        "--no-kernels", action="store_true", help="torch's operations in place of Triton kernels"
    )
    options = parser.parse_args()
    device = measuring.prepare(options)
    config = measuring.workload(options.model, threads=options.threads)
    data = measuring.made_up_data(options.images, options.val_images)
    with tempfile.TemporaryDirectory() as scratch:
        fused = {
            name: Fused(cohort, Path(scratch) / name)
            for name, cohort in cohorts(options, config, data, device).items()
        }
        eager = Eager(config, data, device)
        lean = lean_trial(config, data, device)
        contestants: dict[str, Callable[[], float]] = {
            "eager": partial(measuring.seconds, eager.epoch, device),
            "lean": lambda: lean.run_epoch()["time/epoch_s"],
            **{name: one.epoch for name, one in fused.items()},
        }
        times = measuring.interleaved(contestants, options.rounds)
    publish(options, times, fused)


def lean_trial(config: TrialConfig, data: TrialData, device: torch.device) -> Trial:
    """A single trial with torch's own generator, the faster one without a graph."""
    trial = Trial(config, data, device=device)
    trial.streams = Streams(config.seed, device, "generator")
    return trial


def cohorts(
    options: argparse.Namespace, config: TrialConfig, data: TrialData, device: torch.device
) -> dict[str, Cohort]:
    """All that were asked for, by name."""
    ways: list[Convolution] = options.convolution if options.model == "conv" else ["grouped"]
    found = {}
    for way in ways:
        chosen = Ways(
            convolution=way,
            kernels=False if options.no_kernels else None,
            capture=False if options.no_capture else None,
        )
        for slots in options.slots:
            name = f"cohort-{slots}" + (f"-{way}" if options.model == "conv" else "")
            found[name] = Cohort(config, data, slots=slots, device=device, ways=chosen)
    return found


def publish(
    options: argparse.Namespace, times: dict[str, list[float]], fused: dict[str, Fused]
) -> None:
    """Rates and ratios as table and JSON."""
    trained = options.images // 128 * 128
    models_of = {name: fused[name].cohort.slots if name in fused else 1 for name in times}
    rates = {
        name: [models_of[name] * trained / second for second in values]
        for name, values in times.items()
    }
    against_eager = measuring.ratios(rates, "eager")
    against_lean = measuring.ratios(rates, "lean")
    rows: list[list[Any]] = []
    for name, values in rates.items():
        parts = _per_model(fused[name]) if name in fused else ["", ""]
        median = sorted(values)[len(values) // 2]
        rows.append([name, median, against_eager[name], against_lean[name], *parts])
    result = {"images_per_s": rates, "over_eager": against_eager, "over_lean": against_lean}
    result["parts_s"] = {name: one.parts[1:] for name, one in fused.items()}
    columns = ["contestant", "images/s", "x eager", "x lean", "eval ms", "other ms"]
    measuring.publish(options, result, columns, rows)


def _per_model(fused: Fused) -> list[Any]:
    """Milliseconds per model and epoch of validation, and of copies and checkpoints."""
    _, evaluate, other = zip(*fused.parts[1:], strict=True)
    count = len(evaluate) * fused.cohort.slots
    return [1e3 * sum(evaluate) / count, 1e3 * sum(other) / count]


if __name__ == "__main__":
    main()
