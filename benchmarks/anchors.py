"""Obtained against anchor: trains the networks whose figures are known and writes the table.

    python -m benchmarks.anchors --mnist-dir FOLDER --out docs/results/anchors.md [--only NAME ...]

Each row trains once, seed 0, one thread, and opens the test set at its end. Results are kept as
JSON beside the page, so that a row can be trained again without the others.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import real_images
from studies.denoise_sweep import REFERENCE as R2
from studies.runner import provenance
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.trial import Trial


@dataclass(frozen=True)
class Anchor:
    """A configuration and the bounds that its test figures must keep."""

    config: TrialConfig
    bounds: dict[str, tuple[float, float]]


def mlp(**changes: Any) -> TrialConfig:
    """R3's network on clean images."""
    return TrialConfig.model_validate(
        {"kind": "mlp_vae", "latent_dim": 16, "eval_noise_factor": 0.0, "epochs": 5}
        | {"beta_schedule": "constant"}
        | changes
    )


MNIST = {"dataset": "mnist", "latent_dim": 20, "epochs": 20}
ANCHORS = {
    "R3 VAE, MNIST, 20 epochs": Anchor(
        mlp(**MNIST), {"neg_elbo": (102.6, 104.6), "mse": (0.0084, 0.0094)}
    ),
    "R3 AE, MNIST, 20 epochs": Anchor(mlp(**MNIST, kind="mlp_ae"), {"recon": (65.2, 66.8)}),
    "R1 ConvVAE, 6 epochs": Anchor(
        mlp(kind="conv_vae", epochs=6), {"neg_elbo": (241.5, 244.5)}
    ),
    "R2, 6 epochs": Anchor(
        R2.model_copy(update={"epochs": 6}), {"mse": (0.0, 0.0192), "psnr": (17.7, 21.0)}
    ),
    "MLP VAE, SupCon gamma 0": Anchor(mlp(), {}),
    "MLP VAE, SupCon gamma 1": Anchor(mlp(supcon_gamma=1.0), {}),
    "MLP VAE, SupCon gamma 30": Anchor(
        mlp(supcon_gamma=30.0), {"supcon": (0.0, 5.0), "probe": (0.86, 0.94)}
    ),
    "MLP VAE, beta 4": Anchor(mlp(beta=4.0), {"active_units": (1, 14)}),
    "residual ConvVAE, latent 64": Anchor(
        TrialConfig(
            kind="res_conv_vae", latent_dim=64, blocks=1, noise_factor=0.45, beta=0.1,
            beta_schedule="linear", warmup_epochs=2, lr=1e-3, lr_schedule="cosine", epochs=8,
        ),
        {"mse": (0.0, 0.0150), "psnr": (18.8, 21.0), "ssim": (0.63, 0.76)},
    ),
}  # fmt: skip
SHOWN = ("neg_elbo", "recon", "kl", "mse", "psnr", "ssim", "active_units", "probe", "knn", "supcon")


def train(config: TrialConfig, data: TrialData) -> dict[str, float]:
    """The test figures of a freshly trained model, and the seconds that training took."""
    trial = Trial(config, data)
    started = time.process_time()
    while not trial.done:
        metrics = trial.run_epoch()
        print(
            f"  epoch {trial.epoch}/{config.budget.epochs} -ELBO {metrics['val/neg_elbo']:.2f}",
            flush=True,
        )
    seconds = time.process_time() - started
    found = trial.evaluator.test(trial.model, config).figures
    return {name.removeprefix("test/"): v for name, v in found.items()} | {"cpu_s": seconds}


def page(results: dict[str, dict[str, float]]) -> str:
    """The Markdown table; what misses its bounds is marked."""
    lines = [
        "# Obtained against anchor",
        "",
        f"Machine: {provenance.machine()['cpu']}, one thread, seed 0. Test set; 55,000 training "
        "images (the last 5,000 are validation). Written by `python -m benchmarks.anchors`.",
        "",
        "| network | " + " | ".join(SHOWN) + " | CPU s | bounds | kept |",
        "|---|" + "---|" * (len(SHOWN) + 3),
    ]
    for name, found in results.items():
        bounds = ANCHORS[name].bounds
        kept = all(low <= found[m] <= high for m, (low, high) in bounds.items())
        stated = "; ".join(f"{m} {low:g} … {high:g}" for m, (low, high) in bounds.items())
        cells = [f"{found[m]:.4g}" if m in found else "" for m in SHOWN]
        row = [
            name,
            *cells,
            f"{found['cpu_s']:.0f}",
            stated,
            ("yes" if kept else "**no**") if bounds else "",
        ]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train what is asked for, keep it, write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mnist-dir", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results/anchors.md"))
    parser.add_argument("--only", nargs="*", default=list(ANCHORS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    kept = options.out.with_suffix(".json")
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for name in options.only:
        config = ANCHORS[name].config
        folder = options.mnist_dir if config.data.dataset == "mnist" else None
        data = TrialData(*real_images.load(config.data.dataset, folder))
        print(name, flush=True)
        results[name] = train(config, data)
        ordered = {known: results[known] for known in ANCHORS if known in results}
        kept.write_text(json.dumps(ordered, indent=1))
        options.out.write_text(page(ordered), "utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
