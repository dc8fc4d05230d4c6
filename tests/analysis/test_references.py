"""The page that sets printed figures beside ours: what it averages, and what it says of a lack."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.references import Reference, Row, Run, app, final, finished, section, summary, table
from analysis.tracker.client import Tracker
from tests.analysis import trained_study
from tests.analysis.trained_study import KIND, TINY, Planned, TrainedStudy, seeded

KINDS = Reference(
    KIND,
    "Digits",
    {"VAE": ("kind", "mlp_vae"), "autoencoder": ("kind", "mlp_ae")},
    (
        final("test/mse", "MSE", ".6f", "0.02", "other images"),
        final("test/kl", "KL", ".2f"),
        Row("−ELBO after epoch 1", lambda run: run.at("val/neg_elbo", 1), ".2f"),
        Row("lr falls", lambda run: run.lr_fell, ".0f"),
    ),
    "A remark.",
)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    cosine = TINY.model_copy(update={"lr_schedule": "cosine"})
    planned = [
        Planned("reference-0000", cosine, reference=True),
        Planned("reference-0001", seeded(cosine, 1), reference=True),
        Planned("0000", seeded(TINY, 2)),
    ]
    return trained_study.write(tmp_path_factory.mktemp("references"), "digits", planned)


def cells(reference: Reference, found: list[Run]) -> dict[str, list[str]]:
    return {row[0].text: [cell.text for cell in row[1:]] for row in table(reference, found).cells()}


def test_seeds_are_averaged_and_their_range_is_told(references: TrainedStudy) -> None:
    found = finished(Tracker(references.uri), KIND)
    assert sorted(run.record.tags["vae.trial"] for run in found) == [
        "reference-0000",
        "reference-0001",
    ]  # a trial of a search is no reference run
    low, high = sorted(references.metrics[f"reference-000{i}"]["test/mse"] for i in (0, 1))
    rows = cells(KINDS, found)
    expected = f"{(low + high) / 2:.6f} ({low:.6f} … {high:.6f})"
    assert rows["MSE"] == ["0.02", expected, "–", "other images"]
    assert rows["KL"][0] == "–"  # it was not printed
    assert rows["lr falls"][1] == "2"
    first = [run.at("val/neg_elbo", 1) for run in found]
    assert rows["−ELBO after epoch 1"][1] == summary(first, ".2f")


def test_a_section_says_where_its_figures_are_from(references: TrainedStudy) -> None:
    text = section(KINDS, finished(Tracker(references.uri), KIND))
    assert "`python -m studies.digits_sweep --reference`: 1970-01-01" in text
    assert "| VAE, 2 seeds | autoencoder, 0 seeds |" in text
    assert text.rstrip().endswith("A remark.")


def test_what_was_not_trained_is_said_to_be_missing(
    references: TrainedStudy, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "page.md"
    done = CliRunner().invoke(app, ["--tracking-uri", references.uri, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_text("utf-8").count("No finished `--reference` run is in the tracker.") == 4


def test_a_tracker_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/none.db"
    done = CliRunner().invoke(app, ["--tracking-uri", uri, "--out", str(tmp_path / "page.md")])
    assert done.exit_code == 2
    assert "there is no MLflow database" in done.stderr


def test_one_value_has_no_range() -> None:
    assert summary([0.12345, 0.12349], ".3f") == "0.123"
    assert summary([1.0, None, 2.0], ".1f") == "1.5 (1.0 … 2.0)"
    assert summary([None], ".1f") == "–"
