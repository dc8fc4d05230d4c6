"""Whom pruning favours, and what plateau costs: short trainings of an MLP, curves replayed.

    python -m benchmarks.warm_up [--images 1000] [--seeds 2]

Real Fashion-MNIST. First a grid of β × schedules, all trained for nine epochs; their curves of
val/mse are replayed through the pruner in many random orders. For each schedule: the share of its
trials that is pruned although at the end it is among the best third of all, and the share that
lives on although it is not: comparing all trials, those at their full β, and as the pruner does,
each with those that are flattered as little as itself or less. Then one denoiser (β 0.05, γ 100) at
a constant rate, and with a plateau that watches −ELBO or MSE.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
from collections import defaultdict

import torch

from benchmarks import real_images
from benchmarks.search_quality import at_full_beta, everything
from studies.scheduling.pruning import Comparison, SuccessiveHalving, comparable
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.trial import Trial

EPOCHS, ORDERS = 9, 200
METRIC = "val/mse"
SCHEDULES = [("constant", 0), ("linear", 3), ("linear", 8), ("cosine", 8), ("cyclical", 4)]
BETAS = (0.5, 1.0, 2.0, 4.0)
Curve = dict[int, float]
Row = dict[str, list[bool]]


def base(images: int) -> TrialConfig:
    """The small denoiser that everything here is a variation of."""
    return TrialConfig(
        kind="mlp_vae", hidden=(200,), noise_factor=0.45, train_size=images, batch_size=64
    )


def curve(config: TrialConfig, data: TrialData) -> tuple[Curve, float]:
    """val/mse by epoch, and the last learning rate."""
    trial = Trial(config, data)
    while not trial.done:
        trial.run_epoch()
    figures = {entry["epoch"]: entry["metrics"][METRIC] for entry in trial.history}
    return figures, config.optimiser.lr * trial.plateau.scale


def grid(images: int, seeds: int) -> list[TrialConfig]:
    """Every β with every schedule."""
    return [
        base(images).model_copy(
            update={
                "beta": beta,
                "beta_schedule": schedule,
                "warmup_epochs": epochs,
                "epochs": EPOCHS,
                "seed": seed,
            }
        )
        for beta, (schedule, epochs), seed in itertools.product(BETAS, SCHEDULES, range(seeds))
    ]


def replay(trials: list[tuple[TrialConfig, Curve]], rule: Comparison) -> dict[str, Row]:
    """By schedule: of good and of other trials, whether each was pruned, over all orders."""
    finals = sorted(values[EPOCHS] for _, values in trials)
    good = finals[len(finals) // 3]
    draws = random.Random(0)
    rows: dict[str, Row] = defaultdict(lambda: {"good": [], "other": []})
    for _ in range(ORDERS):
        order = draws.sample(range(len(trials)), len(trials))
        pruner = SuccessiveHalving(grace=1, eta=3, max_epochs=EPOCHS, direction="minimize")
        for number in order:
            config, values = trials[number]
            stopped = any(
                pruner.should_stop(str(number), epoch, rule(config, epoch, METRIC, values[epoch]))
                for epoch in range(1, EPOCHS)
            )
            name = (
                f"{config.objective.beta_schedule} {config.objective.warmup_epochs or ''}".strip()
            )
            rows[name]["good" if values[EPOCHS] < good else "other"].append(stopped)
    return dict(rows)


def shares(row: Row) -> str:
    """Cells: good ones pruned, others that live on."""
    lost = f"{statistics.mean(row['good']):.0%}" if row["good"] else "–"
    kept = f"{1 - statistics.mean(row['other']):.0%}" if row["other"] else "–"
    return f"{lost} | {kept}"


def main() -> None:
    """Train, replay, print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    train, val, _ = real_images.load("fashion-mnist")
    data = TrialData(train, val.take(1000), None, None)
    trials = [(config, curve(config, data)[0]) for config in grid(given.images, given.seeds)]
    _print_pruning(trials)
    _print_watching(given.images, given.seeds, data)


def _print_pruning(trials: list[tuple[TrialConfig, Curve]]) -> None:
    rules = {"all": everything, "at full β": at_full_beta, "as it is": comparable}
    tables = [replay(trials, rule) for rule in rules.values()]
    heads = " | ".join(f"{rule}: good pruned | others live" for rule in rules)
    print(f"| β schedule | MSE at β 4, epochs 1, 3, 9 | {heads} |")
    print("|---|---|" + "---|" * 2 * len(rules))
    for name in tables[0]:
        large = [
            values
            for config, values in trials
            if config.objective.beta == max(BETAS)
            and name
            == f"{config.objective.beta_schedule} {config.objective.warmup_epochs or ''}".strip()
        ]
        mse = ", ".join(f"{statistics.mean(v[e] for v in large):.4f}" for e in (1, 3, EPOCHS))
        print(f"| {name} | {mse} | {' | '.join(shares(table[name]) for table in tables)} |")


def _print_watching(images: int, seeds: int, data: TrialData) -> None:
    fields = {"beta": 0.05, "beta_schedule": "constant", "supcon_gamma": 100.0, "epochs": 60}
    variations = {
        "constant rate": {},
        "plateau watches val/neg_elbo": {"lr_schedule": "plateau"},
        "plateau watches val/mse": {"lr_schedule": "plateau", "watch": "val/mse"},
    }
    print("\n| rate | val/mse | rate cut by |\n|---|---|---|")
    for name, changes in variations.items():
        runs = [
            curve(base(images).model_copy(update={**fields, **changes, "seed": seed}), data)
            for seed in range(seeds)
        ]
        mse = statistics.mean(values[max(values)] for values, _ in runs)
        cut = statistics.mean(base(images).optimiser.lr / rate for _, rate in runs)
        print(f"| {name} | {mse:.4f} | {cut:.0f} |", flush=True)


if __name__ == "__main__":
    main()
