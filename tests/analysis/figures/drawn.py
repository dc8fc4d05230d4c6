"""Checks that apply to every figure: plotly accepts the data, matplotlib draws it."""

from __future__ import annotations

import io
import json
from typing import Any

import plotly.graph_objects as go
from matplotlib.figure import Figure

from analysis.figures.base import COLORS, Plot
from analysis.report.page import script_json

PAGE_ONLY = {"--text": "#000000", "--label": "#ffffff"}


def themed(value: Any) -> Any:
    """As the page does it: "--name" becomes a colour; an unknown name is a KeyError."""
    if isinstance(value, str) and value.startswith("--"):
        return (COLORS | PAGE_ONLY)[value]
    if isinstance(value, list):
        return [themed(each) for each in value]
    if isinstance(value, dict):
        return {key: themed(each) for key, each in value.items()}
    return value


def check(plot: Plot) -> go.Figure:
    """Raises for a property that plotly does not know, for NaN, and where paper cannot be drawn."""
    assert plot.alt.endswith(".")
    assert "nan" not in plot.alt
    spec = json.loads(script_json(plot.spec))
    on_paper(plot.paper())
    return go.Figure(themed(spec))


def on_paper(figure: Figure) -> bytes:
    """The SVG of a figure, in which texts can be searched."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg")
    return buffer.getvalue()
