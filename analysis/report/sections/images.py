"""What the models make of images: the same ones by everyone, and the winner's extreme cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.classes import class_name
from analysis.figures import pictures
from analysis.figures.pictures import Grid
from analysis.models.trained import TrainedModel, WeightsError, load
from analysis.report.page import Block, PictureGrid, Prose, Section
from analysis.tracker.results import Examples, StudyResults
from analysis.tracker.runs import PARAM

SHOWN = 10  # images in the denoising grid
CASES = 4  # images of each kind of case


@dataclass(frozen=True, eq=False)
class Models:
    """The models that pictures are drawn from, by role; `notes` say which could not be had."""

    by_role: dict[str, TrainedModel]
    notes: tuple[str, ...]

    @property
    def winner(self) -> TrainedModel | None:
        """The winner's model."""
        return self.by_role.get("winner")


def load_models(results: StudyResults) -> Models:
    """Winner and reference, as far as their weights are in the tracker."""
    by_role: dict[str, TrainedModel] = {}
    tried: set[str] = set()
    notes = []
    for role, trial in (("winner", results.winner), ("reference", results.reference)):
        if trial is None or trial["run_id"] in tried:
            continue
        tried.add(trial["run_id"])
        try:
            by_role[role] = load(results.tracker, trial["run_id"], trial["trial"])
        except WeightsError as error:
            notes.append(f"No pictures of the {role}: {error}.")
    return Models(by_role, tuple(notes))


def denoising(results: StudyResults, models: Models) -> Section | None:
    """The same images by everyone, and the winner's best, median and worst cases."""
    examples = results.examples
    if results.winner is None and not models.by_role:
        return None
    blocks: list[Block] = [Prose(note, "notice") for note in models.notes]
    if examples is None:
        blocks.append(Prose("The tracker holds no example images, so none are shown.", "notice"))
        return Section("denoising", "Images", tuple(blocks))
    clean = bool(np.array_equal(examples.images, examples.noisy))
    blocks.append(PictureGrid(denoising_grid(results, models, examples)))
    if models.winner is not None:
        blocks += [PictureGrid(grid) for grid in case_grids(results, models, examples)]
    title = "Reconstruction" if clean else "Denoising"
    return Section("denoising", title, tuple(blocks))


def dataset_of(results: StudyResults) -> str:
    """The data set that the study was judged on; empty where unknown."""
    trial = results.winner if results.winner is not None else results.reference
    name = None if trial is None else trial.get(PARAM + "dataset")
    return str(name or results.info.get("reference", {}).get("dataset", ""))


def class_names(results: StudyResults, labels: NDArray[np.int64]) -> list[str]:
    """Names of the classes in `labels`."""
    if not results.info.get("labelled", True):
        return ["image"] * len(labels)
    classes = own_classes(results)
    return [class_name(dataset_of(results), int(label), classes=classes) for label in labels]


def own_classes(results: StudyResults) -> tuple[str, ...]:
    """The classes' names as the study recorded them; none in older studies."""
    return tuple(results.info.get("classes") or ())


def spread(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices of the first image of each class, then further ones, at most `count`, by class."""
    order = np.argsort(labels, kind="stable")
    rank = np.zeros(len(labels), dtype=int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    indices = sorted(order.tolist(), key=lambda i: (rank[i], labels[i]))[:count]
    return np.asarray(sorted(indices, key=lambda i: (labels[i], i)), dtype=np.int64)


def _lines(
    models: Models, examples: Examples, indices: NDArray[np.int64]
) -> list[tuple[str, NDArray[Any]]]:
    """(who, images) of everyone, from clean to winner."""
    lines: list[tuple[str, NDArray[Any]]] = [("clean", examples.images[indices])]
    if not np.array_equal(examples.images, examples.noisy):
        lines.append(("noisy input", examples.noisy[indices]))
    for name, images in examples.baselines.items():
        if len(images) > indices.max(initial=-1):
            lines.append((name, images[indices]))
    for role in ("reference", "winner"):
        if role in models.by_role:
            model = models.by_role[role]
            made = model.denoise(examples.noisy[indices], examples.labels[indices])
            note = f", {model.class_note}" if model.class_note else ""
            lines.append((f"{role} ({model.trial}{note})", made))
    return lines


def denoising_grid(results: StudyResults, models: Models, examples: Examples) -> Grid:
    """One image of each class by everyone, each with its PSNR."""
    indices = spread(examples.labels, SHOWN)
    names = class_names(results, examples.labels[indices])
    clean = examples.images[indices]
    rows = []
    for who, images in _lines(models, examples, indices):
        texts = None if who == "clean" else [f"{value:.1f}" for value in psnr(images, clean)]
        rows.append(pictures.row(who, images, names, texts=texts))
    caption = (
        f"The same {len(indices)} {examples.split_name} images by everyone, {examples.noise}; "
        "below each its PSNR in dB."
    )
    return Grid("denoising_grid", "Side by side", caption, tuple(rows), tuple(names))


def psnr(images: NDArray[Any], clean: NDArray[np.uint8]) -> list[float]:
    """PSNR in dB of each image, data range 1."""
    scale = 255 if images.dtype == np.uint8 else 1
    error = np.square(images.astype(np.float64) / scale - clean / 255.0)
    mse = np.maximum(error.reshape(len(images), -1).mean(1), 1e-10)
    values: list[float] = (-10 * np.log10(mse)).tolist()
    return values


def case_grids(results: StudyResults, models: Models, examples: Examples) -> list[Grid]:
    """The images on which the winner does best, middling and worst."""
    winner = models.winner
    assert winner is not None
    made = winner.denoise(examples.noisy, examples.labels)
    order = np.argsort(psnr(made, examples.images))[::-1]
    middle = len(order) // 2 - CASES // 2
    cases = {
        "best": order[:CASES],
        "median": order[middle : middle + CASES],
        "worst": order[-CASES:],
    }
    indices = np.concatenate(list(cases.values()))
    names = class_names(results, examples.labels[indices])
    kinds = [kind for kind, places in cases.items() for _ in places]
    headings = [f"{kind}: {name}" for kind, name in zip(kinds, names, strict=True)]
    clean = examples.images[indices]
    rows = []
    for who, images in _lines(models, examples, indices):
        texts = None if who == "clean" else [f"{value:.1f}" for value in psnr(images, clean)]
        rows.append(pictures.row(who, images, headings, texts=texts))
    caption = (
        f"By the winner's PSNR among {len(examples.images)} {examples.split_name} images: the "
        f"{CASES} best, the {CASES} around the median, the {CASES} worst."
    )
    return [Grid("cases", "Best, median and worst cases", caption, tuple(rows), tuple(headings))]
