"""What the codes hold: the latent picture of winner and reference, with numbers beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.figures import latent
from analysis.models.trained import TrainedModel
from analysis.report.page import Block, Plots, Prose, Section, TableBlock
from analysis.report.sections.images import Models, dataset_of, own_classes
from analysis.statistics.quantities import quantity
from analysis.tables.table import Column, Table
from analysis.tracker.results import Examples, StudyResults
from analysis.tracker.runs import METRIC
from vae_trainables.evaluation.representation import (
    EmbeddingMethod,
    EmbeddingUnavailableError,
    pca_explained_variance,
    silhouette,
)

TRACKED = ("test/probe", "test/knn", "val/probe", "val/active_units")
METHODS = {"pca": "principal components", "umap": "UMAP", "tsne": "t-SNE"}


def section(results: StudyResults, models: Models, methods: tuple[EmbeddingMethod, ...]) -> Section:
    """None of it where neither examples nor weights are there: then one sentence."""
    examples = results.examples
    if examples is None or not models.by_role:
        text = "Without example images and weights in the tracker there is no latent picture."
        return Section("latent", "Latent space", (Prose(text, "notice"),))
    blocks: list[Block] = []
    rows = []
    with_codes = {role: model for role, model in models.by_role.items() if model.has_codes}
    if not with_codes:
        return Section("latent", "Latent space", (Prose("These models have no latent."),))
    codes = {role: model.codes(examples.codes_images) for role, model in with_codes.items()}
    for role, its_codes in codes.items():
        rows.append(_numbers(results, role, models.by_role[role], its_codes, examples))
    for method in methods:
        pictures, complaints = _pictures(results, models, codes, examples, method)
        blocks += [Prose(complaint, "notice") for complaint in complaints]
        if pictures:
            plots = tuple(latent.plot(picture, role) for role, picture in pictures.items())
            blocks.append(Plots(plots, legend=latent.legend(next(iter(pictures.values())))))
    blocks.append(TableBlock(_table(rows), "latent"))
    text = (
        f"Latent means of {len(examples.codes_images):,} clean {examples.split_name} images. "
        "Distances in the plane are not distances between codes: judge by the numbers."
    )
    return Section("latent", "Latent space", (Prose(text), *blocks))


def _pictures(
    results: StudyResults,
    models: Models,
    codes: dict[str, Any],
    examples: Examples,
    method: EmbeddingMethod,
) -> tuple[dict[str, latent.LatentPicture], list[str]]:
    """Pictures by role, and a sentence for each that there is not."""
    pictures: dict[str, latent.LatentPicture] = {}
    complaints = []
    for role, its_codes in codes.items():
        who = f"the {role} (trial {models.by_role[role].trial})"
        try:
            pictures[role] = latent.info(
                its_codes,
                examples.codes_labels,
                who=who,
                dataset=dataset_of(results),
                names=own_classes(results),
                method=method,
            )
        except EmbeddingUnavailableError as error:
            return {}, [f"No picture by {METHODS[method]}: {error}."]
        except ValueError as error:
            complaints.append(f"No picture by {METHODS[method]} of {who}: {error}.")
    return pictures, complaints


def _numbers(
    results: StudyResults, role: str, model: TrainedModel, codes: Any, examples: Examples
) -> dict[str, Any]:
    """Tracked scores of the model and what its codes of the examples show."""
    trial = results.trials[results.trials["trial"] == model.trial].iloc[0]
    row: dict[str, Any] = {"model": f"{role} (trial {model.trial})", "latent": codes.shape[1]}
    row |= {name: trial.get(METRIC + name) for name in TRACKED}
    if np.isfinite(codes).all():
        row["pca"] = 100 * float(pca_explained_variance(codes)[:2].sum())
        row["silhouette"] = _silhouette(codes, examples)
    return row


def _silhouette(codes: Any, examples: Examples) -> float | None:
    """None where the examples are of one class, or each of its own."""
    try:
        return silhouette(codes, examples.codes_labels)
    except ValueError:
        return None


def _table(rows: list[dict[str, Any]]) -> Table:
    frame = pd.DataFrame(rows)
    tracked = [name for name in TRACKED if frame[name].notna().any()]
    columns = [
        Column("model", "model"),
        Column("latent", "latent dimensions", spec="d"),
        *(Column.of(quantity(name), name) for name in tracked),
    ]
    if "pca" in frame:
        columns.append(Column("pca", "variance on two components", "%", spec=".1f"))
    if "silhouette" in frame:
        columns.append(Column("silhouette", "silhouette of classes", "", "maximize", ".3f"))
    return Table(tuple(columns), frame, "The codes in numbers")
