"""Findings as tables show the figures of the findings."""

from __future__ import annotations

import numpy as np
import pandas as pd
from optuna.distributions import FloatDistribution, distribution_to_json

from analysis.simulation.studies import StudySpec, simulate
from analysis.statistics.importance import importance
from analysis.statistics.pareto import pareto_front
from analysis.statistics.ranking import rank
from analysis.tables.findings import (
    comparison_table,
    confirmation_table,
    importance_table,
    pareto_table,
    ranking_table,
)
from analysis.tables.table import Table


def _texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.cells()]


def test_the_confirmation_table_marks_winner_and_reference() -> None:
    found = simulate(StudySpec(), np.random.default_rng(0)).confirmation()
    table = confirmation_table(found, names={found.reference: "R2"})
    rows = _texts(table)
    assert rows[0][0] == f"{found.winner.configuration} (winner)"
    assert rows[-1][0] == "R2 (reference)"
    assert rows[-1][3:] == ["–", "–"], "the reference was not among the top and has no optimism"
    assert rows[0][1] == f"{found.winner.estimate.mean:.2f}"
    assert table.cells()[0][1].interval == (
        f"{found.winner.estimate.low:.2f}",
        f"{found.winner.estimate.high:.2f}",
    )
    assert found.winner.optimism is not None
    assert rows[0][4] == f"{found.winner.optimism.total.mean:.3f}"
    assert "95 %" in table.note


def test_the_comparison_table_has_a_row_for_each_comparison() -> None:
    found = simulate(StudySpec(), np.random.default_rng(0)).confirmation()
    rows = _texts(comparison_table(found))
    assert [row[0] for row in rows] == [each.configuration for each in found.comparisons]
    assert rows[0][1] == f"{found.comparisons[0].difference.mean:.3f}"
    assert [row[5] for row in rows] == [each.conclusion for each in found.comparisons]


def test_a_confirmation_of_the_reference_alone_has_an_empty_comparison_table() -> None:
    spec = StudySpec(configurations=1, confirm_top=1)
    found = simulate(spec, np.random.default_rng(0)).confirmation()
    table = comparison_table(found)
    assert table.cells() == []
    assert "Configuration" in table.to_markdown()
    assert _texts(confirmation_table(found))[0][0] == "configuration 0 (winner, reference)"


def test_the_ranking_table_counts_who_is_left_out() -> None:
    runs = pd.DataFrame(
        {
            "config": ["a", "a", "b", "c"],
            "seed": [0, 1, 0, 0],
            "status": ["finished", "finished", "finished", "failed"],
            "val/psnr": [18.0, 18.5, 17.0, 99.0],
        }
    )
    table = ranking_table(rank(runs, metric="val/psnr", direction="maximize"), names={"a": "A"})
    assert _texts(table) == [["1", "A", "18.25", "2"], ["2", "b", "17.00", "1"]]
    assert table.cells()[1][2].interval is None
    assert table.note == "Left out, as not all their seeds finished: 1 configurations."
    assert _texts(ranking_table(rank(runs.head(0), metric="val/psnr", direction="maximize"))) == []


def test_the_importance_table_says_what_it_cannot_tell() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.random(10), "y": rng.random(10), "status": "finished"})
    frame["val/psnr"] = frame["x"]
    spaces = {name: distribution_to_json(FloatDistribution(0, 1)) for name in "xy"}
    found = importance(frame, "val/psnr", "maximize", spaces)
    table = importance_table(found)
    assert [row[0] for row in _texts(table)] == [each.name for each in found.parameters]
    assert _texts(table)[0][3] == f"{100 * found.parameters[0].fanova:.1f}"
    assert "Only 10 finished trials" in table.note
    assert table.caption == "What mattered for validation PSNR (10 trials)"


def test_the_pareto_table_names_the_knee() -> None:
    trials = pd.DataFrame(
        {"val/mse": [0.02, 0.016, 0.018], "val/probe": [0.88, 0.80, 0.87]}, index=[5, 6, 7]
    )
    front = pareto_front(trials, {"val/mse": "minimize", "val/probe": "maximize"})
    table = pareto_table(front, names={"7": "trial 7"})
    assert _texts(table) == [
        ["6", "0.01600", "0.8000"],
        ["trial 7", "0.01800", "0.8700"],
        ["5", "0.02000", "0.8800"],
    ]
    assert table.note.startswith("Knee: trial 7 (")
    empty = pareto_table(pareto_front(trials.head(0), dict(front.objectives)))
    assert empty.cells() == []
