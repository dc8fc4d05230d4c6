"""Two parameters together: the mean score in each cell of a grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from analysis.figures.base import Plot, Spec, panels, rounded
from analysis.statistics.effects import Interaction
from analysis.statistics.quantities import Direction, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def describe(found: Interaction, direction: Direction) -> str:
    """What the picture shows, in words."""
    measure = quantity(found.metric)
    means = np.asarray(found.means)
    place = np.nanargmin(means) if direction == "minimize" else np.nanargmax(means)
    row, column = np.unravel_index(place, means.shape)
    return (
        f"Mean {measure.header} of finished trials over {found.first} and {found.second}: best, "
        f"{measure.text(float(means[row, column]))}, for {found.first} {found.rows[row].label} and "
        f"{found.second} {found.columns[column].label} ({found.counts[row][column]} trials)."
    )


def _cell(interaction: Interaction, row: int, column: int) -> str:
    mean, count = interaction.means[row][column], interaction.counts[row][column]
    return "" if math.isnan(mean) else f"{quantity(interaction.metric).text(mean)}<br>n={count}"


def _texts(interaction: Interaction) -> list[list[str]]:
    rows, columns = range(len(interaction.rows)), range(len(interaction.columns))
    return [[_cell(interaction, i, j) for j in columns] for i in rows]


def spec(found: Interaction, direction: Direction) -> Spec:
    """For the page."""
    trace = {
        "type": "heatmap", "z": [rounded(row) for row in found.means],
        "x": [column.label for column in found.columns], "y": [row.label for row in found.rows],
        "text": _texts(found), "texttemplate": "%{text}", "textfont": {"size": 10},
        "colorscale": "Viridis", "reversescale": direction == "minimize", "xgap": 2, "ygap": 2,
        "hovertemplate": "%{y}, %{x}<br>%{text}<extra></extra>", "showscale": False,
    }  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": found.second}, "type": "category", "automargin": True},
        "yaxis": {"title": {"text": found.first}, "type": "category", "automargin": True},
    }
    return {"data": [trace], "layout": layout}


def draw(found: Interaction, direction: Direction) -> Figure:
    """For paper."""
    figure, (axes,) = panels(1)
    figure.set_size_inches(6.2, 3.6)
    shades = "viridis_r" if direction == "minimize" else "viridis"
    image = axes.imshow(np.asarray(found.means), cmap=shades, aspect="auto", origin="lower")
    middle = float(np.mean(image.get_clim()))
    for i, row in enumerate(_texts(found)):
        for j, text in enumerate(row):
            better = (found.means[i][j] < middle) == (direction == "minimize")
            axes.text(j, i, text.replace("<br>", "\n"), ha="center", va="center", fontsize=6,
                      color="black" if better else "white")  # fmt: skip
    axes.set_xticks(
        range(len(found.columns)), [column.label for column in found.columns], fontsize=7
    )
    axes.set_yticks(range(len(found.rows)), [row.label for row in found.rows], fontsize=7)
    axes.set(xlabel=found.second, ylabel=found.first)
    return figure


def plot(found: Interaction, direction: Direction) -> Plot:
    """The figure."""
    return Plot(
        "interaction",
        f"{found.first} with {found.second}",
        describe(found, direction),
        "",
        spec(found, direction),
        lambda: draw(found, direction),
    )
