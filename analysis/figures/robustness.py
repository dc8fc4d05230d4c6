"""Robustness: denoising quality over noise kinds and factors, with a band over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures.base import COLORS, Plot, Spec, axis, panels, paper_legend, rounded
from analysis.statistics.intervals import Band, band
from analysis.statistics.quantities import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES = (("dot", ":"), ("dash", "--"), ("dashdot", "-."))
PALETTE = ("--best", "--finished", "--other", "--muted", "--pruned")


@dataclass(frozen=True)
class Robustness:
    """One noise kind: a band for each configuration, and the factor that models were judged by.

    `baselines` by name: (factor, score) in the order of factors.
    """

    kind: str
    metric: str
    bands: Mapping[str, Band]
    colors: Mapping[str, str]
    judged_at: float | None
    baselines: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)


def kind_name(kind: str) -> str:
    """A noise kind in words."""
    return {"salt_pepper": "salt-and-pepper"}.get(kind, kind.replace("_", " "))


def info(
    rows: pd.DataFrame,
    kind: str,
    metric: str,
    *,
    order: list[str],
    reference: str,
    judged_at: float | None = None,
    baselines: Sequence[Mapping[str, Any]] = (),
) -> Robustness:
    """`rows` has columns configuration, seed, kind, factor and `metric`.

    `baselines` are rows with name, kind, factor and `metric`; those of other kinds are passed over.
    """
    kind_rows = rows[rows["kind"] == kind]
    present = [name for name in order if (kind_rows["configuration"] == name).any()]
    bands = {
        name: band(kind_rows[kind_rows["configuration"] == name], x="factor", value=metric)
        for name in present
    }
    shades = iter(PALETTE * 3)
    colors = {name: "--reference" if name == reference else next(shades) for name in present}
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in baselines:
        if row["kind"] == kind:
            lines.setdefault(str(row["name"]), []).append((float(row["factor"]), row[metric]))
    ordered = {name: tuple(sorted(points)) for name, points in lines.items()}
    return Robustness(kind, metric, bands, colors, judged_at, ordered)


def describe(found: Robustness) -> str:
    """What the picture shows, in words."""
    measure = quantity(found.metric)
    parts = [
        f"{name} from {measure.text(b.mean[0])} at {b.x[0]:g} to {measure.text(b.mean[-1])} "
        f"at {b.x[-1]:g}"
        for name, b in found.bands.items()
        if b.x
    ]
    parts += [
        f"{name} from {measure.text(points[0][1])} at {points[0][0]:g} to "
        f"{measure.text(points[-1][1])} at {points[-1][0]:g}"
        for name, points in found.baselines.items()
    ]
    return (
        f"{measure.header} against the factor of {kind_name(found.kind)} noise: "
        + "; ".join(parts)
        + "."
    )


def view(found: Robustness) -> tuple[float, float]:
    """Limits that hold every curve but the lower part of baselines that fall below all models."""
    models = [value for curve in found.bands.values() for value in curve.mean]
    others = [value for points in found.baselines.values() for _, value in points]
    low, high = min(models), max([*models, *others])
    pad = 0.08 * (high - low) + 0.02 * abs(high)
    return low - 2 * pad, high + pad


def spec(found: Robustness) -> Spec:
    """For the page."""
    traces: list[Spec] = []
    for name, curve in found.bands.items():
        color = found.colors[name]
        outline = [*curve.high, *curve.low[::-1]]
        traces.append(
            {
                "type": "scatter", "x": rounded([*curve.x, *curve.x[::-1]]), "y": rounded(outline),
                "fill": "toself", "fillcolor": color, "opacity": 0.18, "line": {"width": 0},
                "mode": "lines", "hoverinfo": "skip", "showlegend": False,
            }
        )  # fmt: skip
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": name, "x": rounded(curve.x),
                "y": rounded(curve.mean), "line": {"color": color, "width": 2},
                "marker": {"size": 5, "color": color},
            }
        )  # fmt: skip
    for name, dash in zip(found.baselines, DASHES * 3, strict=False):
        points = found.baselines[name]
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": name,
                "x": rounded([x for x, _ in points]), "y": rounded([y for _, y in points]),
                "line": {"color": "--muted", "width": 1.5, "dash": dash[0]},
            }
        )  # fmt: skip
    layout: Spec = {
        "xaxis": axis(f"factor of {kind_name(found.kind)} noise"),
        "yaxis": axis(quantity(found.metric).header, range=list(view(found))),
        "height": 340 + 18 * (len(found.bands) + len(found.baselines)),
    }
    return {"data": traces, "layout": layout}


def draw(axes: Axes, found: Robustness) -> None:
    """For paper."""
    for name, curve in found.bands.items():
        color = COLORS[found.colors[name]]
        axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)
        axes.plot(curve.x, curve.mean, "o-", ms=3, color=color, label=name)
    for name, dash in zip(found.baselines, DASHES * 3, strict=False):
        x, y = zip(*found.baselines[name], strict=True)
        axes.plot(x, y, dash[1], lw=1, color=COLORS["--muted"], label=name)
    if found.judged_at is not None:
        axes.axvline(found.judged_at, color=COLORS["--muted"], lw=0.8, ls=":")
    axes.set_ylim(*view(found))
    axes.set(
        xlabel=f"factor of {kind_name(found.kind)} noise",
        ylabel=quantity(found.metric).header,
    )


def plot(found: Robustness) -> Plot:
    """The figure of one noise kind."""

    def paper() -> Figure:
        figure, (axes,) = panels(1)
        draw(axes, found)
        paper_legend(figure)
        return figure

    title = kind_name(found.kind).capitalize() + " noise"
    return Plot(f"robustness_{found.kind}", title, describe(found), "", spec(found), paper)
