"""Trials side by side: what differs, what does not, and who made which picture."""

from __future__ import annotations

import pytest

from analysis.report.page import Command, PictureGrid, Plots
from analysis.report.sections import compare
from tests.analysis import bulk_studies
from tests.analysis.figures import drawn


def test_a_setting_that_differs_would_be_missing_or_one_that_does_not_be_shown() -> None:
    results = bulk_studies.results("plain")
    chosen = compare.choose(results, ["0003", "0000"])
    table, same = compare.settings_table(chosen)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.cells()}
    assert "lr" in rows
    assert "dataset" not in rows
    assert rows["latent_dim"] == [str(value) for value in chosen["params.latent_dim"]]
    assert len(rows) + same == len(results.parameters)


@pytest.mark.slow
def test_pictures_and_commands_would_be_of_other_trials() -> None:
    results = bulk_studies.results("pictured")
    assert results.winner is not None
    winner = results.winner["trial"]
    section = compare.section(results, [winner, "0000"])
    (grid,) = [block.grid for block in section.blocks if isinstance(block, PictureGrid)]
    assert [row.label for row in grid.rows] == [
        "clean", "noisy input", f"trial {winner}", "trial 0000",
    ]  # fmt: skip
    (figures,) = [block for block in section.blocks if isinstance(block, Plots)]
    for plot in figures.plots:
        drawn.check(plot)
        assert f"trial {winner} ends at" in plot.alt
    texts = [block.text for block in section.blocks if isinstance(block, Command)]
    assert any(text.startswith(f"python -m analysis.gallery {winner} --study") for text in texts)
    assert len(texts) == 6
