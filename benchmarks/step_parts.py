"""What each way of our own in a trial's step gains over torch's, each part alone.

    python -m benchmarks.step_parts --rounds 20 --threads 1

Milliseconds on one CPU, taken in turn, medians and the median ratio: the products of a wide linear
layer, two layers of a decoder, an evaluation's two passes; and, a fresh process each, R1's step
with and without kept memory, and the first step of an optimizer.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import measuring
from vae_trainables.models import build
from vae_trainables.models.convolution import ConvTranspose2d, OneChannelTransposed
from vae_trainables.models.linear import Linear
from vae_trainables.numerics.allocator import keep_freed_memory

BATCH = 128
CPU = torch.device("cpu")
R1_STEPS = """
import sys, time, torch
from benchmarks import measuring
from vae_trainables.numerics.allocator import keep_freed_memory
from vae_trainables.training.trial import Trial
torch.set_num_threads(1)
if sys.argv[1] == "ours":
    keep_freed_memory()
config = measuring.workload("conv")
trial = Trial(config, measuring.made_up_data(1_280, 10))
batch = torch.arange(config.optimiser.batch_size)
for i in range(5):
    trial._train_step(i, batch)
started = time.perf_counter()
for i in range(5, 25):
    trial._train_step(i, batch)
print((time.perf_counter() - started) / 20)
"""
FIRST_STEP = """
import sys, time, torch
from vae_trainables.training.adam import Adam
weight = torch.nn.Parameter(torch.ones(8))
weight.grad = torch.ones(8)
started = time.perf_counter()
if sys.argv[1] == "ours":
    Adam([weight], lr=1e-3, weight_decay=0.0, decoupled=False).step()
else:
    torch.optim.Adam([weight], lr=1e-3, fused=True).step()
print(time.perf_counter() - started)
"""


def both_ways(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    """The layer's output and all gradients."""
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    gradient = torch.rand_like(layer(leaf))

    def run() -> None:
        torch.autograd.grad(layer(leaf), [leaf, *layer.parameters()], gradient)

    return run


def channels_last(layer: nn.Module) -> nn.Module:
    """The layer with its weights as a trial has them."""
    return layer.to(memory_format=torch.channels_last)


def evaluations() -> dict[str, Callable[[], object]]:
    """R1's two passes over a batch of validation images."""
    model = build(measuring.workload("conv").model).to(memory_format=torch.channels_last).eval()
    x, eps = torch.rand(500, 1, 28, 28), torch.randn(500, model.noise_dim)

    @torch.inference_mode()
    def torchs() -> None:
        model(x)
        model(x, eps)

    @torch.inference_mode()
    def ours() -> None:
        model.at_mean_and_draw(x, eps)

    return {"torch's": torchs, "ours": ours}


def in_a_process(program: str, which: str) -> float:
    """The seconds that a fresh process prints."""
    command = [sys.executable, "-c", program, which]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure and publish."""
    made = measuring.parser(__doc__)
    made.set_defaults(rounds=20, device="cpu")
    options = made.parse_args()
    measuring.prepare(options)
    keep_freed_memory()  # as in a worker: else page faults hide what layers differ in
    images = torch.rand(BATCH, 784)
    maps = torch.rand(BATCH, 32, 14, 14).to(memory_format=torch.channels_last)
    small_maps = torch.rand(BATCH, 64, 7, 7).to(memory_format=torch.channels_last)
    half: dict[str, Any] = {"kernel_size": 4, "stride": 2, "padding": 1}
    alone: dict[str, dict[str, Callable[[], object]]] = {
        "linear 784-400": {
            "torch's": both_ways(nn.Linear(784, 400), images),
            "ours": both_ways(Linear(784, 400), images),
        },
        "transposed convolution 32-1": {
            "torch's": both_ways(nn.ConvTranspose2d(32, 1, **half), maps),
            "ours": both_ways(OneChannelTransposed(32, 1, **half), maps),
        },
        "transposed convolution 64-32": {
            "torch's": both_ways(channels_last(nn.ConvTranspose2d(64, 32, **half)), small_maps),
            "ours": both_ways(channels_last(ConvTranspose2d(64, 32, **half)), small_maps),
        },
        "R1's two passes in validation": evaluations(),
    }
    rows, result = [], {}
    for part, ways in alone.items():
        timed = {name: partial(measuring.seconds, run, CPU) for name, run in ways.items()}
        result[part] = measuring.interleaved(timed, options.rounds)
    for part, program in {"R1's step": R1_STEPS, "an optimizer's first step": FIRST_STEP}.items():
        fresh = {name: partial(in_a_process, program, name) for name in ("torch's", "ours")}
        result[part] = measuring.interleaved(fresh, min(options.rounds, 5))
    for part, times in result.items():
        medians = [1e3 * statistics.median(values) for values in times.values()]
        rows.append([part, *medians, measuring.ratios(times, "ours")["torch's"]])
    measuring.publish(
        options, {"seconds": result}, ["part", "torch's ms", "ours ms", "ratio"], rows
    )


if __name__ == "__main__":
    main()
