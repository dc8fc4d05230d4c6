"""The rate-distortion plane: KL against reconstruction of every trial, β as colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.figures.base import COLORS, PER_TRIAL, Plot, Spec, axis, panels, rounded
from analysis.statistics.quantities import quantity
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import METRIC, PARAM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 1_500
RATE, DISTORTION, BETA = METRIC + "val/kl", METRIC + "val/recon", PARAM + "beta"
SCALE = ("#3b8bd6", "#c98a1f", "#d2395a")  # of β, from small: seen on light and on dark


@dataclass(frozen=True)
class Plane:
    """Trials with a finite rate and distortion (nats per image) and a positive β.

    `marked` are row numbers of winner and reference by role, `total` counts all such trials.
    """

    trials: tuple[str, ...]
    statuses: tuple[str, ...]
    rate: tuple[float, ...]
    distortion: tuple[float, ...]
    beta: tuple[float, ...]
    marked: dict[str, int]
    total: int


def info(results: StudyResults, limit: int = SHOWN) -> Plane | None:
    """Last values of finished and pruned trials; None where the study has no rate to show."""
    trials = results.search
    if not {RATE, DISTORTION, BETA} <= set(trials.columns):
        return None
    beta = pd.to_numeric(trials[BETA], errors="coerce")
    numbers = np.isfinite(trials[[RATE, DISTORTION]].to_numpy(dtype=float)).all(axis=1)
    ended = trials["status"].isin(["finished", "pruned"])
    rows = trials[numbers & ended & (beta > 0) & (trials[RATE] > 0)]
    if len(rows) < 2:
        return None
    sample = _with_marked(rows, results, limit)
    return Plane(
        tuple(sample["trial"]),
        tuple(sample["status"]),
        tuple(sample[RATE].astype(float)),
        tuple(sample[DISTORTION].astype(float)),
        tuple(sample[BETA].astype(float)),
        _places(sample, results),
        len(rows),
    )


def _with_marked(rows: pd.DataFrame, results: StudyResults, limit: int) -> pd.DataFrame:
    """At most `limit` rows by a fixed draw, winner and reference among them."""
    if len(rows) <= limit:
        return rows
    drawn = rows.sample(limit, random_state=0)
    named = rows[rows["trial"].isin(_named(results).values())]
    return pd.concat([named, drawn.drop(index=named.index, errors="ignore")])


def _named(results: StudyResults) -> dict[str, str]:
    roles = {"reference": results.reference, "winner": results.winner}
    return {role: str(trial["trial"]) for role, trial in roles.items() if trial is not None}


def _places(trials: pd.DataFrame, results: StudyResults) -> dict[str, int]:
    order = trials["trial"].tolist()
    return {role: order.index(key) for role, key in _named(results).items() if key in order}


def describe(plane: Plane) -> str:
    """What the picture shows, in words."""
    parts = [
        f"{role} (trial {plane.trials[place]}) {plane.rate[place]:.1f} and "
        f"{plane.distortion[place]:.1f}"
        for role, place in plane.marked.items()
    ]
    shown = f"{len(plane.trials)} of {plane.total} trials" if len(plane.trials) < plane.total else (
        f"{plane.total} trials"
    )  # fmt: skip
    text = f"Rate (KL) and distortion (reconstruction loss) of {shown}, in nats per image"
    return f"{text}: {'; '.join(parts)}." if parts else f"{text}."


def spec(plane: Plane) -> Spec:
    """For the page: finished trials as discs, pruned ones as rings, roles ringed larger."""
    logs = np.log10(plane.beta)
    ticks = np.unique(np.round(np.linspace(logs.min(), logs.max(), 4), 2))
    bar = {
        "title": {"text": "β"}, "tickvals": ticks.tolist(), "thickness": 12,
        "ticktext": [f"{10**tick:.2g}" for tick in ticks],
    }  # fmt: skip
    scale = [[place / (len(SCALE) - 1), color] for place, color in enumerate(SCALE)]
    symbols = {"finished": "circle", "pruned": "circle-open"}
    cloud: Spec = {
        "type": "scatter", "mode": "markers", "name": "trials", "showlegend": False,
        "x": rounded(plane.rate), "y": rounded(plane.distortion),
        "meta": PER_TRIAL, "text": list(plane.trials),
        "customdata": [
            f"{status}, β {beta:.3g}"
            for status, beta in zip(plane.statuses, plane.beta, strict=True)
        ],
        "marker": {
            "size": 8, "color": rounded(logs), "colorscale": scale, "colorbar": bar,
            "symbol": [symbols[status] for status in plane.statuses],
            "line": {"width": 1, "color": "--muted"},
        },
        "hovertemplate": (
            "trial %{text}, %{customdata}<br>KL %{x:.4g}, reconstruction %{y:.5g}<extra></extra>"
        ),
    }  # fmt: skip
    roles = [
        {
            "type": "scatter", "mode": "markers+text", "name": role, "showlegend": False,
            "x": rounded([plane.rate[place]]), "y": rounded([plane.distortion[place]]),
            "text": [role], "textposition": _beside(plane, place), "hoverinfo": "skip",
            "marker": {"size": 16, "symbol": "circle-open", "color": _color(role),
                       "line": {"width": 2.5}},
        }
        for role, place in plane.marked.items()
    ]  # fmt: skip
    layout = {
        "xaxis": axis(f"rate: {quantity('val/kl').header}", rangemode="tozero"),
        "yaxis": axis(f"distortion: {quantity('val/recon').header}"),
        "height": 440,
    }
    return {"data": [cloud, *roles], "layout": layout}


def _beside(plane: Plane, place: int) -> str:
    """Where a point's name has room: on the side away from the nearer edge."""
    middle = max(plane.rate) / 2
    return "top right" if plane.rate[place] < middle else "top left"


def _color(role: str) -> str:
    return {"winner": "--best", "reference": "--reference"}[role]


def draw(plane: Plane) -> Figure:
    """For paper."""
    from matplotlib.colors import LinearSegmentedColormap

    figure, (axes,) = panels(1)
    colors = LinearSegmentedColormap.from_list("beta", SCALE)
    shown = axes.scatter(plane.rate, plane.distortion, c=np.log10(plane.beta), s=10, cmap=colors)
    bar = figure.colorbar(shown, label="β", ax=axes)
    ticks = [tick for tick in bar.get_ticks() if math.isfinite(tick)]
    bar.set_ticks(ticks, labels=[f"{10**tick:.2g}" for tick in ticks])
    for role, place in plane.marked.items():
        point = plane.rate[place], plane.distortion[place]
        axes.plot(*point, "o", ms=9, mfc="none", mew=1.8, color=COLORS[_color(role)])
        axes.annotate(role, point, xytext=(4, 6), textcoords="offset points", fontsize="small")
    axes.set(xlabel="rate: KL (nats/image)", ylabel="distortion: reconstruction (nats/image)")
    return figure


def plot(plane: Plane) -> Plot:
    """The figure."""
    return Plot("rate_distortion", "", describe(plane), "", spec(plane), lambda: draw(plane))
