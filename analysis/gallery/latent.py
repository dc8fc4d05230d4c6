"""Codes in the plane: R2's 06A to 06D and R3's clusters, marked by class number or name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from analysis.figures import latent
from analysis.figures.base import CLASS_COLORS
from analysis.figures.latent import LatentPicture
from analysis.gallery import drawing
from analysis.gallery.output import Output
from analysis.gallery.subject import Subject
from analysis.gallery.wording import say
from vae_trainables.evaluation.representation import (
    EmbeddingMethod,
    EmbeddingUnavailableError,
    pca_explained_variance,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = {"pca": 3_000, "umap": 2_000, "tsne": 2_000}
"""Test images in a picture: UMAP and t-SNE take long, and more points hide each other."""
METHODS = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}


def picture(subject: Subject, method: EmbeddingMethod) -> LatentPicture:
    """Codes of clean test images in the plane.

    Raises EmbeddingUnavailableError where UMAP is not installed, ValueError for codes that cannot
    be placed.
    """
    return latent.info(
        subject.codes,
        subject.labels,
        who=subject.title,
        dataset=subject.config.data.dataset,
        names=subject.test.classes,
        method=method,
        limit=SHOWN[method],
    )


def write(
    subject: Subject,
    out: Output,
    name: str,
    method: EmbeddingMethod,
    draw_codes: Callable[[Subject, LatentPicture], Figure],
) -> None:
    """The picture as file `name`; where codes cannot be placed, it and a remark say so."""
    try:
        figure = draw_codes(subject, picture(subject, method))
    except EmbeddingUnavailableError as error:
        figure = drawing.notice(METHODS[method], say("no_umap", subject.language))
        out.remark(f"{name}: {error}")
    except ValueError as error:
        figure = drawing.notice(METHODS[method], say("no_places", subject.language))
        out.remark(f"{name}: {error}")
    out.figure(name, figure)


def draw_numbers(subject: Subject, found: LatentPicture) -> Figure:
    """Every code as the number of its class (06A)."""
    figure, axes = _axes(subject, found)
    for label in found.classes:
        points = found.points[found.labels == label]
        axes.scatter(
            points[:, 0], points[:, 1], s=22, marker=f"${label}$", linewidths=0,
            color=_color(label), alpha=0.8, label=_entry(subject, label),
        )  # fmt: skip
    _legend(axes)
    return figure


def draw_names(subject: Subject, found: LatentPicture) -> Figure:
    """Codes as points, each class named where its middle is (06B to 06D)."""
    figure, axes = _axes(subject, found)
    for label in found.classes:
        points = found.points[found.labels == label]
        name = subject.class_name(label)
        axes.scatter(points[:, 0], points[:, 1], s=6, alpha=0.6, color=_color(label), linewidths=0,
                     label=name)  # fmt: skip
    for label in found.classes:
        axes.annotate(
            subject.class_name(label), found.middle(label), fontsize=9, weight="bold",
            ha="center", va="center", color=_color(label), zorder=3,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "alpha": 0.8, "lw": 0},
        )  # fmt: skip
    _legend(axes)
    return figure


def _axes(subject: Subject, projection: LatentPicture) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 6.2), layout="constrained")
    axes: Axes = figure.subplots()
    title = say(
        "latent", subject.language, method=METHODS[projection.method], count=len(projection.points)
    )
    axes.set(
        title=title, xlabel=_axis(subject, projection, 0), ylabel=_axis(subject, projection, 1)
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _axis(subject: Subject, projection: LatentPicture, place: int) -> str:
    if projection.method != "pca":
        return f"{METHODS[projection.method]} {place + 1}"
    share = (*projection.explained, 0.0, 0.0)[place]
    return say("component", subject.language, number=place + 1, share=share, percent=100 * share)


def _legend(axes: Axes) -> None:
    axes.legend(
        frameon=False, fontsize="small", markerscale=1.8, loc="center left", bbox_to_anchor=(1, 0.5)
    )


def _entry(subject: Subject, label: int) -> str:
    name = subject.class_name(label)
    return name if name == str(label) else f"{label} {name}"


def _color(label: int) -> str:
    return CLASS_COLORS[label % len(CLASS_COLORS)]


def explained_text(subject: Subject) -> str:
    """R2's pca_explained_variance.txt: the shares of two components of z_mean, and their sum."""
    shares = [*pca_explained_variance(subject.codes)[:2].tolist(), 0.0][:2]
    return (
        "PCA Explained Variance Ratio (2 components)\n"
        f"[{shares[0]:.8f} {shares[1]:.8f}]\n"
        f"Sum: {sum(shares):.8f}\n"
    )


def draw(subject: Subject, out: Output) -> None:
    """`latent_pca.png` and `latent_tsne.png`."""
    methods: tuple[EmbeddingMethod, ...] = ("pca", "tsne")
    for method in methods:
        with out.working(f"codes by {METHODS[method]}"):
            write(subject, out, f"latent_{method}.png", method, draw_names)
