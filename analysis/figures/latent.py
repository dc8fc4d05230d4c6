"""The latent picture: codes of validation images in the plane, coloured and marked by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.classes import class_name
from analysis.figures.base import CLASS_COLORS, Plot, Spec, axis, panels, rounded
from vae_trainables.evaluation.representation import (
    EmbeddingMethod,
    embed_2d,
    pca_explained_variance,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 1_500
AXES = {"pca": "component", "umap": "UMAP", "tsne": "t-SNE"}


@dataclass(frozen=True, eq=False)
class LatentPicture:
    """Places `(n, 2)` of codes with their classes.

    `explained` is PCA's share per component; `names` are the data's own of its classes.
    """

    method: EmbeddingMethod
    who: str
    dataset: str
    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    explained: tuple[float, ...]
    total: int
    names: tuple[str, ...] = ()

    def middle(self, label: int) -> tuple[float, float]:
        """The median place of a class, where its number is written."""
        x, y = np.median(self.points[self.labels == label], axis=0).tolist()
        return x, y

    @property
    def classes(self) -> list[int]:
        """Classes that occur."""
        return sorted(set(self.labels.tolist()))

    @property
    def titles(self) -> tuple[str, str]:
        """What the two axes are."""
        if self.method != "pca":
            return f"{AXES[self.method]} 1", f"{AXES[self.method]} 2"
        shares = [*self.explained, 0.0, 0.0]
        return f"component 1 ({shares[0]:.1%})", f"component 2 ({shares[1]:.1%})"


def info(
    codes: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    who: str,
    dataset: str,
    method: EmbeddingMethod = "pca",
    limit: int = SHOWN,
    names: tuple[str, ...] = (),
) -> LatentPicture:
    """Embed codes `(N, D)`; raises ValueError for codes that are not finite or too few."""
    embedded = embed_2d(codes, method, max_points=limit)
    explained = tuple(pca_explained_variance(codes)[:2].tolist())
    kept = labels[embedded.indices]
    return LatentPicture(method, who, dataset, embedded.points, kept, explained, len(codes), names)


def describe(found: LatentPicture) -> str:
    """What the picture shows, in words."""
    name = "PCA" if found.method == "pca" else AXES[found.method]
    return (
        f"{name} of the codes of {len(found.points)} validation images by {found.who}, "
        f"coloured by {len(found.classes)} classes. "
        f"Two principal components explain {sum(found.explained):.1%} of the variance."
    )


def spec(found: LatentPicture) -> Spec:
    """For the page: a trace per class, and each class's number at its middle."""
    traces: list[Spec] = []
    for label in found.classes:
        points = found.points[found.labels == label]
        name = class_label(found, label)
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": name,
                "x": rounded(points[:, 0], 4), "y": rounded(points[:, 1], 4),
                "marker": {"color": CLASS_COLORS[label % len(CLASS_COLORS)], "size": 4,
                           "opacity": 0.75},
                "hovertemplate": f"{name}<extra></extra>",
            }
        )  # fmt: skip
    middles = [found.middle(label) for label in found.classes]
    notes = [
        {
            "x": x, "y": y, "text": f"<b>{label}</b>", "showarrow": False,
            "font": {"color": "--text", "size": 15}, "bgcolor": "--label", "borderpad": 1,
        }
        for label, (x, y) in zip(found.classes, middles, strict=True)
    ]  # fmt: skip
    first, second = found.titles
    layout = {
        "xaxis": axis(first, zeroline=False),
        "yaxis": axis(second, zeroline=False),
        "showlegend": False,
        "annotations": notes,
        "height": 460,
    }
    return {"data": traces, "layout": layout}


def legend(found: LatentPicture) -> tuple[tuple[str, str], ...]:
    """Number, name and colour of each class."""
    return tuple(
        (class_label(found, label), CLASS_COLORS[label % len(CLASS_COLORS)])
        for label in found.classes
    )


def class_label(found: LatentPicture, label: int) -> str:
    """A class's number and name, or its number where that is its name."""
    name = class_name(found.dataset, label, classes=found.names)
    return name if name == str(label) else f"{label} {name}"


def draw(found: LatentPicture) -> Figure:
    """For paper."""
    figure, (axes,) = panels(1)
    figure.set_size_inches(6.2, 4.2)
    for label in found.classes:
        points = found.points[found.labels == label]
        color = CLASS_COLORS[label % len(CLASS_COLORS)]
        name = class_label(found, label)
        axes.scatter(points[:, 0], points[:, 1], s=4, alpha=0.7, color=color, label=name)
        box = {"boxstyle": "round,pad=0.1", "fc": "white", "alpha": 0.7, "lw": 0}
        place = found.middle(label)
        axes.annotate(str(label), place, weight="bold", ha="center", va="center", bbox=box)
    axes.set(xlabel=found.titles[0], ylabel=found.titles[1])
    axes.legend(
        frameon=False, fontsize="x-small", markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5)
    )
    return figure


def plot(found: LatentPicture, stem: str) -> Plot:
    """The figure of one model."""
    return Plot(
        f"latent_{found.method}_{stem}",
        f"{found.who}",
        describe(found),
        "",
        spec(found),
        lambda: draw(found),
    )
