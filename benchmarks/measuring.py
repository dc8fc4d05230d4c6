"""What the cohort benchmarks share: workloads, interleaved rounds, peaks of the device, output.

Needs torch alone, so that it runs on a bare GPU machine without Ray, MLflow or data.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp_vae", "hidden": (400,), "latent_dim": 20},  # R3
    "conv": {"kind": "conv_vae", "widths": (32, 64, 128), "latent_dim": 16},  # R1
}


def workload(model: str, **settings: Any) -> TrialConfig:
    """R3's or R1's network as a denoiser, the commonest trial; it never ends by itself."""
    common = {"batch_size": 128, "noise_factor": 0.45, "epochs": 1_000_000}
    return TrialConfig.model_validate({**common, **MODELS[model], **settings})


def made_up_data(train: int, val: int) -> TrialData:
    """Random pixels: what they show does not change the time."""
    return TrialData(_split(train), _split(val))


def _split(count: int) -> Split:
    images = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)
    return Split(images, torch.arange(count) % 10)


def interleaved(
    contestants: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Each contestant's figures, taken in turn A B C A B C …; a first round warms up unseen."""
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for i in range(rounds + 1):
        for name, run in contestants.items():
            figure = run()
            if i > 0:
                figures[name].append(figure)
    return figures


def ratios(figures: Mapping[str, list[float]], base: str) -> dict[str, float]:
    """Median over the rounds of each contestant's figure divided by the base's in that round."""
    return {
        name: statistics.median(a / b for a, b in zip(values, figures[base], strict=True))
        for name, values in figures.items()
    }


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were taken on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "device": str(device),
        "name": name or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
    }


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all of them have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--model", choices=sorted(MODELS), default="mlp")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--images", type=int, default=12_800, help="training images per epoch")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--threads", type=int, default=1, help="CPU threads")
    made.add_argument("--tf32", action="store_true", help="matrix products in TF32 (GPU)")
    made.add_argument("--json", type=Path, help="also write the result here")
    return made


def prepare(options: argparse.Namespace) -> torch.device:
    """Set threads and precision as asked; both paths of a comparison get the same."""
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high" if options.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = options.tf32
    return torch.device(options.device)


def publish(
    options: argparse.Namespace, result: dict[str, Any], columns: list[str], rows: list[list[Any]]
) -> None:
    """Print the table and the JSON, and write the JSON where asked."""
    texts = [columns, *([_text(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(columns))]
    for row in texts:
        print("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)))
    asked = {name: str(value) for name, value in vars(options).items() if name != "json"}
    whole = {"options": asked, "machine": machine(torch.device(options.device)), **result}
    text = json.dumps(whole, indent=1)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall time of `run` including all that it leaves the device to do."""
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started
