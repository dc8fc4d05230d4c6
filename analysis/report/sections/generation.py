"""What the winner makes up: samples from the prior, interpolation, traversals of each dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.pictures import Cell, Grid, Row, montage, row, to_pixels
from analysis.models.trained import TrainedModel
from analysis.report.page import Block, PictureGrid, Prose, Section
from analysis.report.sections.images import class_names
from analysis.tracker.results import Examples, StudyResults

SAMPLES = 50
PER_ROW = 10
STEPS = 9  # pictures on the way from one code to another
PAIRS = 3
TRAVERSED = 16  # latent dimensions
REACH = 3.0  # standard deviations of the codes, to either side


def section(results: StudyResults, model: TrainedModel | None) -> Section | None:
    """None without the winner's weights, or where it has no latent to decode from."""
    if model is None or not model.has_codes:
        return None
    blocks: list[Block] = []
    if model.config.model.variational:
        blocks.append(PictureGrid(samples(model)))
    else:
        text = "The winner is a plain autoencoder: it has no prior to draw samples from."
        blocks.append(Prose(text))
    if results.examples is not None and len(results.examples.images) > 1:
        blocks.append(PictureGrid(interpolation(results, model, results.examples)))
        blocks.append(PictureGrid(traversals(model, results.examples)))
    return Section("generation", "What the winner makes up", tuple(blocks))


def samples(model: TrainedModel) -> Grid:
    """Draws from the prior with a fixed seed."""
    picture = montage(to_pixels(model.samples(SAMPLES)), PER_ROW)
    alt = f"{SAMPLES} images that trial {model.trial} decodes from draws of its prior"
    caption = f"{SAMPLES} draws of trial {model.trial}, seed 0, none left out."
    if model.conditional:
        caption += " The model is told the class: the classes in turn."
    return Grid("samples", "Samples from the prior", caption, (Row("", (Cell(picture, alt),)),))


def interpolation(results: StudyResults, model: TrainedModel, examples: Examples) -> Grid:
    """Straight lines between the codes of two images each, of different classes."""
    pairs = different_pairs(examples.labels, PAIRS)
    rows = []
    for first, second in pairs:
        ends = model.codes(examples.images[[first, second]])
        share = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
        nearer = examples.labels[np.where(share[:, 0] < 0.5, first, second)]
        images = model.decode((1 - share) * ends[0] + share * ends[1], nearer)
        names = class_names(results, examples.labels[[first, second]])
        what = [f"{s:.0%} of the way" for s in share[:, 0]]
        rows.append(row(f"{names[0]} to {names[1]}", images, what, note=f"{first} to {second}"))
    caption = (
        f"Decoded along the straight line between the codes of two clean {examples.split_name} "
        "images; the numbers are their places in the split."
    )
    if model.conditional:
        caption += " The model is told the class of the nearer end."
    return Grid("interpolation", "Interpolation", caption, tuple(rows))


def different_pairs(labels: NDArray[np.int64], count: int) -> list[tuple[int, int]]:
    """Pairs of the first images of classes, each class used once; any two if there is one class."""
    firsts = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)]
    pairs = list(zip(firsts[0::2], firsts[1::2], strict=False))[:count]
    return pairs or [(0, 1)]


def traversals(model: TrainedModel, examples: Examples) -> Grid:
    """Each dimension alone from -3 to +3 deviations around the mean code, the widest first."""
    codes = model.codes(examples.codes_images)
    middle, spread = codes.mean(0), codes.std(0)
    order = np.argsort(-spread, kind="stable")[:TRAVERSED]
    steps = np.linspace(-REACH, REACH, STEPS, dtype=np.float32)
    rows = []
    for dimension in order.tolist():
        path = np.repeat(middle[None], STEPS, axis=0)
        path[:, dimension] += steps * spread[dimension]
        picture = montage(to_pixels(model.decode(path, np.zeros(STEPS, np.int64))), STEPS)
        alt = f"latent dimension {dimension} from {-REACH:g} to {REACH:g} standard deviations"
        label = f"dimension {dimension}"
        rows.append(Row(label, (Cell(picture, alt),), f"deviation {spread[dimension]:.2f}"))
    caption = _traversal_caption(len(order), codes)
    if model.conditional:
        caption += " The model is told class 0 throughout."
    return Grid("traversals", "Traversals", caption, tuple(rows))


def _traversal_caption(shown: int, codes: NDArray[Any]) -> str:
    count = codes.shape[1]
    which = (
        f"The {shown} of {count} dimensions that vary most" if shown < count else "Each dimension"
    )
    return (
        f"{which}, from −{REACH:g} to +{REACH:g} standard deviations of the codes, the others at "
        "their mean; the widest on top. A row that does not change is a dimension not used."
    )
