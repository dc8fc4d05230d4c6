"""The page of `benchmarks.gpu`: its rows, the computed limit, what was aimed at and reached."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from benchmarks import limit, measuring

GOALS = {"mlp": 200.0, "conv": 100.0}  # trials per hour over the usual way's
OVER_ALONE, OVER_LIMIT = 15.0, 3.0
CONFIGURATIONS, EPOCHS, IMAGES, MINUTES = 1_000, 20, 54_000, 10.0  # of MLPs


@dataclass
class Row:
    """What one contestant did; seconds are per model and epoch, medians over the rounds."""

    model: str
    contestant: str
    slots: int
    seconds: float = 0.0
    train_s: float = 0.0
    over_usual: float = 0.0
    mib_per_slot: float = 0.0
    detail: str = ""


def limits(device: torch.device, images: int, models: Sequence[str]) -> dict[str, float]:
    """Seconds of a model's epoch of training that `benchmarks.limit` computes, by model."""
    flop_per_s, bytes_per_s = limit.peak_operations(device), limit.peak_bytes(device)
    computed = {}
    for model in models:
        config = measuring.workload(model)
        trained = images // config.optimiser.batch_size * config.optimiser.batch_size
        operations = limit.operations(config) / flop_per_s
        computed[model] = trained * max(operations, limit.bytes_per_image(config) / bytes_per_s)
    return computed


def goals(rows: Sequence[Row], computed: Mapping[str, float], images: int) -> list[str]:
    """What was aimed at against what was reached in fp32, a line each."""
    lines: list[str] = []
    for model in computed:
        own = {row.contestant: row for row in rows if row.model == model}
        fused = [r for name, r in own.items() if name.removeprefix("cohort-").isdigit()]
        if fused and "alone" in own:
            best = min(fused, key=lambda row: row.seconds)
            lines += _of_a_model(model, best, own["alone"], computed[model], images)
    return lines


def _of_a_model(model: str, best: Row, alone: Row, limit_s: float, images: int) -> Iterator[str]:
    over_alone, over_limit = alone.seconds / best.seconds, best.train_s / limit_s
    yield _at_least(f"{model}: trials per hour, × the usual way's", best.over_usual, GOALS[model])
    yield _at_least(f"{model}: trials per hour, × one trial alone", over_alone, OVER_ALONE)
    yield _at_most(f"{model}: training, × the computed limit", over_limit, OVER_LIMIT)
    if model == "mlp":
        minutes = best.seconds * IMAGES / images * CONFIGURATIONS * EPOCHS / 60
        name = f"mlp: minutes for {CONFIGURATIONS:,} × {EPOCHS} epochs of {IMAGES:,}, computed"
        yield _at_most(name, minutes, MINUTES)


def _at_least(what: str, value: float, goal: float) -> str:
    return f"| {what} | {value:.3g} | ≥ {goal:g} | {'reached' if value >= goal else 'missed'} |"


def _at_most(what: str, value: float, goal: float) -> str:
    return f"| {what} | {value:.3g} | ≤ {goal:g} | {'reached' if value <= goal else 'missed'} |"


def page(
    rows: Sequence[Row],
    facts: Mapping[str, str],
    computed: Mapping[str, float],
    options: argparse.Namespace,
    val_images: int,
) -> str:
    """The results page, Markdown; options: of the command."""
    limit_ms = ", ".join(f"{model} {1e3 * s:.3g} ms" for model, s in computed.items())
    cells = [
        f"| {r.model} | {r.contestant} | {1e3 * r.seconds:.4g} | {1e3 * r.train_s:.4g} "
        f"| {r.over_usual:.3g} | {r.mib_per_slot:.3g} | {r.detail} |"
        for r in rows
    ]
    goal_lines = goals(rows, computed, options.images)
    machine = [f"| {name} | {value} |" for name, value in facts.items()]
    sections = [
        f"# Speed on {options.device}",
        f"`python -m benchmarks.gpu --device {options.device}`: {options.images:,} made-up images "
        f"of 28 × 28 an epoch, validation on {val_images:,}; medians of {options.rounds} rounds, "
        "each taken in turn with the usual way on the same machine. Milliseconds are per model and "
        "epoch.",
        _table("| model | contestant | whole | training | × usual | MiB a slot | |", cells),
        f"The computed limit of an epoch's training (`benchmarks.limit`): {limit_ms}.",
        "## Goals",
        _table("| | obtained | goal | |", goal_lines),
        "## Machine",
        _table("| | |", machine),
    ]
    return "\n\n".join(sections) + "\n"


def _table(head: str, rows: Sequence[str]) -> str:
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *rows])
