"""Winner against reference class by class: quality, −ELBO and anomaly, with intervals.

On the test images that a confirmation has kept the scores of, over its seeds; of a study that was
not confirmed, on the example images that the tracker holds.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from analysis.figures import classes, pictures
from analysis.figures.pictures import Grid
from analysis.report.page import Block, PictureGrid, Plots, Prose, Section, TableBlock
from analysis.report.sections import confirmed
from analysis.report.sections.images import Models, class_names
from analysis.statistics.classes import ClassQuality, auroc, by_class, class_mean, over_seeds
from analysis.statistics.intervals import Floats, MeanInterval
from analysis.statistics.quantities import Quantity, quantity, sign
from analysis.tables.table import Column, Table
from analysis.tracker.client import TrackerError, one_line
from analysis.tracker.results import Examples, StudyResults
from analysis.tracker.runs import PARAM
from studies.tracker import names as tracker_names
from vae_trainables import metrics

MEASURES = {"psnr": metrics.psnr, "ssim": metrics.ssim}
ANOMALY = "anomaly"
FEWEST = 2  # classes worth a comparison, and seeds that make an interval
WORST = 10  # images that are least likely to the winner

Judged = Mapping[str, Sequence[ClassQuality]]  # by measure


@dataclass(frozen=True, eq=False)
class KeptScores:
    """Scores of each test image `(N,)` by measure, role and seed, and `labels` `(N,)`."""

    scores: Mapping[str, Mapping[str, Mapping[int, Floats]]]
    labels: NDArray[np.int64]


def section(results: StudyResults, models: Models) -> Section | None:
    """None without classes, or without both kept scores and models to score examples with."""
    if not results.info.get("labelled", True):
        return None
    kept, notes = kept_scores(results)
    blocks: list[Block] = [Prose(note, "notice") for note in notes]
    if kept is not None and len(np.unique(kept.labels)) >= FEWEST:
        blocks += _over_seeds(results, kept)
    else:
        blocks += _on_examples(results, models)
    examples = results.examples
    if models.winner is not None and examples is not None:
        blocks.append(PictureGrid(least_likely(results, models, examples)))
    has_table = any(isinstance(block, TableBlock) for block in blocks)
    return Section("classes", "Class by class", tuple(blocks)) if has_table else None


def kept_scores(results: StudyResults) -> tuple[KeptScores | None, list[str]]:
    """What winner's and reference's confirmation runs kept of each test image.

    None where the winner has fewer than two such runs. Beside it notes on what cannot be used.
    """
    outcome = confirmed.findings(results)
    if outcome is None:
        return None, []
    confirmation, runs = outcome
    roles = {confirmation.winner.configuration: "winner"}
    roles.setdefault(confirmed.REFERENCE, "reference")
    notes: list[str] = []
    scores: dict[str, dict[str, dict[int, Floats]]] = {}
    labels: NDArray[np.int64] | None = None
    for run in runs.runs[runs.runs["configuration"].isin(roles)].to_dict("records"):
        try:
            arrays = _arrays(results, run["run_id"])
        except (TrackerError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            what = f"{tracker_names.TEST_IMAGES_FILE} of {run['trial']}"
            notes.append(f"{what} cannot be used: {one_line(error)}")
            continue
        if not arrays:
            continue
        own = arrays.pop("labels").astype(np.int64)
        if labels is not None and not np.array_equal(own, labels):
            notes.append(f"{run['trial']} was tested on other images: left out class by class")
            continue
        labels = own
        for name, values in arrays.items():
            by_role = scores.setdefault(name, {})
            by_role.setdefault(roles[run["configuration"]], {})[int(run["seed"])] = values
    if labels is None or len(scores["psnr"].get("winner", {})) < FEWEST:
        return None, notes
    ordered = {
        name: {role: by_role[role] for role in roles.values() if role in by_role}
        for name, by_role in scores.items()
    }
    return KeptScores(ordered, labels), notes


def _arrays(results: StudyResults, run_id: str) -> dict[str, NDArray[Any]]:
    """All of a run's file, as float64; none where the run has none."""
    path = results.tracker.artifact(run_id, tracker_names.TEST_IMAGES_FILE)
    if path is None:
        return {}
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in ("labels", *MEASURES, "neg_elbo")}
    if len({values.shape for values in arrays.values()}) != 1:
        raise ValueError("its arrays are of different lengths")
    return {name: values.astype(np.float64) for name, values in arrays.items()}


def _over_seeds(results: StudyResults, kept: KeptScores) -> list[Block]:
    judged = {
        name: over_seeds(by_role, kept.labels, class_mean) for name, by_role in kept.scores.items()
    }
    judged[ANOMALY] = over_seeds(kept.scores["neg_elbo"], kept.labels, auroc)
    names = class_names(results, np.unique(kept.labels))
    seeds = {role: len(runs) for role, runs in kept.scores["psnr"].items()}
    listed = " and ".join(f"{count} fresh seeds of the {role}" for role, count in seeds.items())
    text = (
        f"All {len(kept.labels):,} test images, {listed}: means of a class's images, with 95 % "
        "intervals over seeds; leads are paired by seed. Of 20 classes without any difference one "
        "stands out by chance. Anomaly is the chance that an image of the class looks less likely "
        "to the model (by its −ELBO) than one of another class: 0.5 is like the others, 1 the most "
        f"foreign of all. {_likelihoods(results)}"
    )
    note = "In brackets: 95 % Student t intervals over seeds; leads are paired by seed."
    return [
        Prose(text.strip()),
        Plots(_plots(judged, names, ("test/psnr", "test/anomaly"))),
        TableBlock(class_table(judged, names, MEASURES, "Quality by class", note), "per_class"),
        TableBlock(
            class_table(
                judged, names, ("neg_elbo", ANOMALY), "−ELBO and anomaly by class",
                f"{note} Of an autoencoder −ELBO is the reconstruction loss.",
            ),
            "per_class_likelihood",
        ),
    ]  # fmt: skip


def _likelihoods(results: StudyResults) -> str:
    """A warning where winner and reference have different ones."""
    trials = [trial for trial in (results.winner, results.reference) if trial is not None]
    if len({str(trial.get(PARAM + "likelihood")) for trial in trials}) < 2:
        return ""
    return (
        "Winner and reference have different likelihoods: their −ELBOs are different quantities, "
        "their anomalies are not."
    )


def _plots(judged: Judged, names: Sequence[str], measured: Sequence[str]) -> tuple[Any, ...]:
    return tuple(
        classes.plot(classes.info(name, judged[name.rpartition("/")[2]], names))
        for name in measured
    )


def _on_examples(results: StudyResults, models: Models) -> list[Block]:
    """One run each, over the example images; nothing without them, their classes, or any model."""
    examples = results.examples
    if examples is None or not models.by_role or len(np.unique(examples.labels)) < FEWEST:
        return []
    scores = image_scores(models, examples)
    judged = {name: by_class(values, examples.labels) for name, values in scores.items()}
    names = class_names(results, np.unique(examples.labels))
    text = (
        f"{len(examples.images)} {examples.split_name} images, {examples.noise}; intervals are "
        "over a class's images, for the weights of one run each, and say nothing of other seeds. "
        "Of 20 classes without any difference one stands out by chance."
    )
    note = "In brackets: 95 % Student t intervals over images; leads are paired by image."
    table = class_table(judged, names, tuple(judged), "Class by class", note)
    return [
        Prose(text),
        Plots(_plots(judged, names, ("val/psnr",)), wide=True),
        TableBlock(table, "per_class"),
    ]


def image_scores(models: Models, examples: Examples) -> dict[str, dict[str, Floats]]:
    """PSNR (dB), SSIM and −ELBO of every example image `(N,)` by measure, then by role."""
    clean = torch.from_numpy(examples.images.astype(np.float32) / 255)
    made = {
        role: torch.from_numpy(model.denoise(examples.noisy, examples.labels)).reshape(clean.shape)
        for role, model in models.by_role.items()
    }
    scores: dict[str, dict[str, Floats]] = {
        name: {role: measure(images, clean).double().numpy() for role, images in made.items()}
        for name, measure in MEASURES.items()
    }
    return scores | {"neg_elbo": unlikelihoods(models, examples)}


def unlikelihoods(models: Models, examples: Examples) -> dict[str, Floats]:
    """−ELBO of every example image `(N,)`, nats, by role."""
    return {
        role: model.neg_elbo(examples.images, examples.noisy, examples.labels).astype(np.float64)
        for role, model in models.by_role.items()
    }


def least_likely(results: StudyResults, models: Models, examples: Examples) -> Grid:
    """The example images that the winner takes for the least likely ones, by everyone."""
    scores = unlikelihoods(models, examples)
    places = np.argsort(-scores["winner"], kind="stable")[:WORST]
    names = class_names(results, examples.labels[places])
    rows = [pictures.row("clean", examples.images[places], names)]
    if not np.array_equal(examples.images, examples.noisy):
        rows.append(pictures.row("noisy input", examples.noisy[places], names))
    for role in [role for role in ("reference", "winner") if role in models.by_role]:
        model = models.by_role[role]
        made = model.denoise(examples.noisy[places], examples.labels[places])
        texts = [f"{value:.0f}" for value in scores[role][places]]
        rows.append(pictures.row(f"{role} ({model.trial})", made, names, texts=texts))
    caption = (
        f"The {len(places)} of {len(examples.images)} {examples.split_name} images with the "
        "winner's largest −ELBO, the largest first; below each its −ELBO in nats."
    )
    return Grid("least_likely", "Least likely to the winner", caption, tuple(rows), tuple(names))


def class_table(
    judged: Judged, names: Sequence[str], measures: Sequence[str] | Mapping[str, Any],
    caption: str, note: str,
) -> Table:  # fmt: skip
    """A row per class: how many images, each model's scores, and the winner's lead.

    Leads are positive where the winner is better; a measure without a better side has none.
    """
    chosen = {name: judged[name] for name in measures}
    first = next(iter(chosen.values()))
    roles = list(first[0].scores)
    rows = [
        _row(name, {measure: qualities[place] for measure, qualities in chosen.items()})
        for place, name in enumerate(names)
    ]
    columns = [Column("class", "class"), Column("images", "images", spec="d")]
    for measure in chosen:
        metric = quantity(measure)
        columns += [
            Column(f"{measure}_{role}", f"{metric.label}, {role}", metric.unit, None, metric.spec,
                   f"{measure}_{role}_low", f"{measure}_{role}_high")
            for role in roles
        ]  # fmt: skip
        if len(roles) > 1 and metric.direction is not None:
            columns.append(_lead(measure, metric))
    return Table(tuple(columns), pd.DataFrame(rows), caption, note)


def _lead(measure: str, metric: Quantity) -> Column:
    key = f"{measure}_gain"
    label = f"{metric.label}, winner better by"
    return Column(key, label, metric.unit, None, metric.spec, f"{key}_low", f"{key}_high")


def _row(name: str, qualities: Mapping[str, ClassQuality]) -> dict[str, Any]:
    first = next(iter(qualities.values()))
    row: dict[str, Any] = {"class": name, "images": first.images}
    for measure, quality in qualities.items():
        for role, estimate in quality.scores.items():
            row |= _limits(f"{measure}_{role}", estimate)
        direction = quantity(measure).direction
        if quality.gain is not None and direction is not None:
            row |= _limits(f"{measure}_gain", quality.gain, sign(direction))
    return row


def _limits(key: str, estimate: MeanInterval, turned: float = 1.0) -> dict[str, float]:
    """Mean and limits; times `turned`, +1 or -1."""
    low, high = sorted((turned * estimate.low, turned * estimate.high))
    return {key: turned * estimate.mean, f"{key}_low": low, f"{key}_high": high}
