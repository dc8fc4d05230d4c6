"""How far training is from what the device could do: counted operations and bytes over its peaks.

    python -m benchmarks.limit --model conv
    python -m benchmarks.limit --model mlp --device cuda --slots 32 --json limit.json

The limit of a model and epoch is the longer of two times: floating-point operations over the rate
of a large matrix product, and bytes over the rate of a large copy, both rates measured here. It is
what no implementation passes that computes in float32 and keeps each tensor in memory once:

- operations: matrix products and convolutions, forward and backward, counted by torch
- bytes per step and weight: read forward, read backward, gradient written, then by Adam weight,
  gradient and two moments read, weight and moments written: 10 x 4
- bytes per image and activation of a layer: written, read by the next, read backward, gradient
  written and read: 5 x 4; and the image itself, 1 per pixel
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import measuring
from benchmarks.cohort_speed import Fused, lean_trial
from vae_trainables.cohort import Cohort
from vae_trainables.config import TrialConfig
from vae_trainables.objective import losses
from vae_trainables.training.trial import build_model

BYTES_PER_WEIGHT = 10 * 4
BYTES_PER_ACTIVATION = 5 * 4
LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def operations(config: TrialConfig) -> float:
    """Floating-point operations per image, forward and backward."""
    with torch.device("meta"):  # where no layer has a way of its own that the counter overlooks
        model = build_model(config).to("meta")
        shape = config.optimiser.batch_size, *config.model.image_shape
        images, labels = (
            torch.rand(shape),
            torch.zeros(config.optimiser.batch_size, dtype=torch.int64),
        )
        with FlopCounterMode(display=False) as counter:
            output = model(images, torch.randn(len(images), model.noise_dim), labels)
            losses.objective(output, images, labels, config, 1.0).loss.backward()
    return int(counter.get_total_flops()) / len(images)


def activations(config: TrialConfig) -> int:
    """Numbers that the layers with weights put out per image."""
    model, count = build_model(config), 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal count
        count += output.numel()

    for layer in model.modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(add)
    model(torch.rand(1, *config.model.image_shape))
    return count


def bytes_per_image(config: TrialConfig) -> float:
    """As counted in the module's text."""
    weights = sum(parameter.numel() for parameter in build_model(config).parameters())
    pixels = config.model.pixels
    per_step = weights * BYTES_PER_WEIGHT / config.optimiser.batch_size
    return per_step + activations(config) * BYTES_PER_ACTIVATION + pixels


def peak_operations(device: torch.device) -> float:
    """Floating-point operations per second of a large float32 product, in the set precision."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = torch.randn(2, size, size, device=device)
    return max(2 * size**3 / measuring.seconds(lambda: left @ right, device) for _ in range(5))


def peak_bytes(device: torch.device) -> float:
    """Bytes per second, read and written, of a large copy."""
    count = 2**28 if device.type == "cuda" else 2**26
    source, target = torch.zeros(2, count, device=device)
    best = min(measuring.seconds(lambda: target.copy_(source), device) for _ in range(5))
    return 2 * 4 * count / best


def main() -> None:
    """Measure and publish."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    device = measuring.prepare(options)
    config = measuring.workload(options.model, threads=options.threads)
    flops, moved = operations(config), bytes_per_image(config)
    trained = options.images // config.optimiser.batch_size * config.optimiser.batch_size
    peaks = {"flop_per_s": peak_operations(device), "bytes_per_s": peak_bytes(device)}
    compute, memory = (trained * c / p for c, p in zip((flops, moved), peaks.values(), strict=True))
    limit = max(compute, memory)
    times = measured(options, config, device)
    rows: list[list[Any]] = [
        [name, 1e3 * seconds, 1e3 * limit, seconds / limit] for name, seconds in times.items()
    ]
    result = {
        "per_image": {"flop": flops, "bytes": moved},
        "peaks": peaks,
        "limit_s": {"operations": compute, "memory": memory},
        "epoch_s_per_model": times,
        "times_the_limit": {name: seconds / limit for name, seconds in times.items()},
    }
    columns = ["contestant", "ms per model and epoch", "limit ms", "x limit"]
    measuring.publish(options, result, columns, rows)


def measured(
    options: argparse.Namespace, config: TrialConfig, device: torch.device
) -> dict[str, float]:
    """The best training time per model and epoch of the lean trial and of cohorts."""
    data = measuring.made_up_data(options.images, 100)
    with tempfile.TemporaryDirectory() as scratch:
        lean = lean_trial(config, data, device)
        contestants = {"lean": lambda: lean.run_epoch()["time/epoch_s"]}
        for slots in options.slots:
            cohort = Cohort(config, data, slots=slots, device=device)
            contestants[f"cohort-{slots}"] = Fused(cohort, Path(scratch) / str(slots)).epoch
        times = measuring.interleaved(contestants, options.rounds)
    models = {"lean": 1} | {f"cohort-{slots}": slots for slots in options.slots}
    return {name: min(values) / models[name] for name, values in times.items()}


if __name__ == "__main__":
    main()
