"""Winner against reference class by class, on the example images that the tracker holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from analysis.figures import classes
from analysis.report.page import Plots, Prose, Section, TableBlock
from analysis.report.sections.images import Models, class_names
from analysis.statistics.classes import ClassQuality, by_class
from analysis.statistics.intervals import Floats, MeanInterval
from analysis.statistics.quantities import quantity
from analysis.tables.table import Column, Table
from analysis.tracker.results import Examples, StudyResults
from vae_trainables import metrics

MEASURES = {"psnr": metrics.psnr, "ssim": metrics.ssim}
FEWEST = 2  # classes worth a comparison


def section(results: StudyResults, models: Models) -> Section | None:
    """None without example images, their classes, or any model."""
    examples = results.examples
    if examples is None or not models.by_role or not results.info.get("labelled", True):
        return None
    if len(np.unique(examples.labels)) < FEWEST:
        return None
    scores = image_scores(models, examples)
    judged = {name: by_class(values, examples.labels) for name, values in scores.items()}
    names = class_names(results, np.unique(examples.labels))
    figure = classes.info("val/psnr", judged["psnr"], names)
    text = (
        f"{len(examples.images)} {examples.split_name} images, {examples.noise}; intervals are "
        "over a class's images, for the weights of one run each, and say nothing of other seeds. "
        "Of 20 classes without any difference one stands out by chance."
    )
    table = class_table(judged, names)
    return Section(
        "classes",
        "Class by class",
        (Prose(text), Plots((classes.plot(figure),), wide=True), TableBlock(table, "per_class")),
    )


def image_scores(models: Models, examples: Examples) -> dict[str, dict[str, Floats]]:
    """PSNR (dB) and SSIM of every example image `(N,)` by measure, then by role."""
    clean = torch.from_numpy(examples.images.astype(np.float32) / 255)
    made = {
        role: torch.from_numpy(model.denoise(examples.noisy, examples.labels)).reshape(clean.shape)
        for role, model in models.by_role.items()
    }
    return {
        name: {role: measure(images, clean).double().numpy() for role, images in made.items()}
        for name, measure in MEASURES.items()
    }


def class_table(judged: Mapping[str, Sequence[ClassQuality]], names: Sequence[str]) -> Table:
    """A row per class: how many images, each model's scores and the winner's lead in PSNR."""
    roles = list(judged["psnr"][0].scores)
    rows = [
        _row(name, {measure: qualities[place] for measure, qualities in judged.items()})
        for place, name in enumerate(names)
    ]
    columns = [Column("class", "class"), Column("images", "images", spec="d")]
    if judged["psnr"][0].gain is not None:
        columns.append(
            Column("gain", "winner better by", "dB", None, ".2f", "gain_low", "gain_high")
        )
    for measure in judged:
        metric = quantity(measure)
        columns += [
            Column(f"{measure}_{role}", f"{metric.label}, {role}", metric.unit, None, metric.spec,
                   f"{measure}_{role}_low", f"{measure}_{role}_high")
            for role in roles
        ]  # fmt: skip
    return Table(
        tuple(columns), pd.DataFrame(rows), "Class by class",
        "In brackets: 95 % Student t intervals over images; the lead is paired by image.",
    )  # fmt: skip


def _row(name: str, qualities: Mapping[str, ClassQuality]) -> dict[str, Any]:
    first = next(iter(qualities.values()))
    row: dict[str, Any] = {"class": name, "images": first.images}
    for measure, quality in qualities.items():
        for role, estimate in quality.scores.items():
            row |= _limits(f"{measure}_{role}", estimate)
    gain = qualities["psnr"].gain
    return row | (_limits("gain", gain) if gain is not None else {})


def _limits(key: str, estimate: MeanInterval) -> dict[str, float]:
    return {key: estimate.mean, f"{key}_low": estimate.low, f"{key}_high": estimate.high}
