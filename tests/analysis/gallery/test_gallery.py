"""The command on real tiny runs: the twenty files, the same bytes twice, and errors in one line."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from analysis.gallery.__main__ import app
from analysis.gallery.denoising import FILES
from analysis.gallery.losses import COLUMNS
from analysis.tracker.client import Tracker
from analysis.tracker.lookup import LookupFailedError, find
from studies.tracker import names
from tests.analysis import bulk_studies
from tests.analysis.gallery.tiny import SLICES, Logged

pytestmark = pytest.mark.slow  # trains, embeds, draws

TWENTY = {
    "01_train_total_loss.png", "02_train_recon_loss.png", "03_train_kl_loss.png",
    "03B_train_supcon_loss.png", "04_beta_warmup.png", "05_denoising_grid.png",
    "06A_latent_pca_numbers.png", "06B_latent_pca_text_tr.png", "06C_latent_umap_text_tr.png",
    "06D_latent_tsne_text_tr.png", "07_generated_prior.png", "08_latent_interpolation.png",
    "A_title_denoising.png", "B_title_representation_learning.png", "C_title_generation.png",
    "D_title_interpolation.png", "history.csv", "metrics.csv", "metrics.txt",
    "pca_explained_variance.txt",
}  # fmt: skip


def gallery(logged: Logged, run: str, out: Path, *flags: str) -> Result:
    return CliRunner().invoke(
        app, [run, "--out", str(out), "--tracking-uri", logged.uri, *flags], catch_exceptions=False
    )


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def drawn(denoiser: Logged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything of the denoiser, UMAP included."""
    out = tmp_path_factory.mktemp("drawn")
    result = gallery(denoiser, denoiser.runs["reference-0000"], out)
    assert result.exit_code == 0, result.output
    return out


def test_the_list_of_files_is_r2s() -> None:
    assert set(FILES) == TWENTY


def test_the_twenty_files_are_there_and_none_is_blank(drawn: Path) -> None:
    found = files(drawn)
    assert set(found) >= TWENTY
    for path in drawn.rglob("*.png"):
        pixels = np.asarray(Image.open(path).convert("L"), dtype=float)
        assert pixels.std() > 5, path
        assert min(pixels.shape) > 200, path
    for name in TWENTY:
        assert len(found[name]) > 50, name


def test_tables_have_r2s_columns_and_the_trackers_figures(drawn: Path, denoiser: Logged) -> None:
    rows = list(csv.DictReader((drawn / "history.csv").open()))
    assert tuple(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["beta"] for row in rows] == ["0.5", "1.0", "1.0"]
    assert all(value != "" for row in rows for value in row.values())
    terms = [float(rows[0][f"val_{name}"]) for name in ("recon_loss", "kl_loss", "supcon_loss")]
    assert float(rows[0]["val_loss"]) == pytest.approx(terms[0] + 0.5 * terms[1] + terms[2])

    (record,) = [r for r in Tracker(denoiser.uri).records("denoise") if "test/mse" in r.metrics]
    metrics = {row["metric"]: row for row in csv.DictReader((drawn / "metrics.csv").open())}
    for name, metric in (("MSE", "mse"), ("PSNR_dB", "psnr"), ("SSIM", "ssim")):
        ours = float(metrics[name]["vae_recon_to_clean"])
        assert ours == pytest.approx(record.metrics[f"test/{metric}"], rel=1e-5)


def test_a_second_time_gives_the_same_bytes(drawn: Path, denoiser: Logged, tmp_path: Path) -> None:
    result = gallery(denoiser, denoiser.runs["reference-0000"], tmp_path)
    assert result.exit_code == 0
    first, second = files(drawn), files(tmp_path)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_the_index_shows_every_picture_and_links_every_table(drawn: Path) -> None:
    page = (drawn / "index.html").read_text("utf-8")
    for path in drawn.rglob("*"):
        if path.suffix == ".png":
            assert f'src="{path.relative_to(drawn).as_posix()}"' in page
        elif path.is_file() and path.name != "index.html":
            assert f'href="{path.relative_to(drawn).as_posix()}"' in page


def test_every_latent_dimension_has_its_sheet(drawn: Path) -> None:
    sheets = sorted(path.name for path in (drawn / "traversals").iterdir())
    assert {name.split("_")[1] for name in sheets} == {f"dim{i}.png" for i in range(4)}


def test_parts_that_do_not_fit_are_named_with_the_reason(denoiser: Logged, tmp_path: Path) -> None:
    flags = ("--only", "losses,comparison")
    result = gallery(denoiser, denoiser.runs["reference-0000"], tmp_path, *flags)
    assert result.exit_code == 2
    assert "no finished conv_ae" in result.stderr
    assert files(tmp_path) == {}


def test_without_umap_there_is_a_message_and_all_the_rest(
    denoiser: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    flags = ("--only", "denoising", "--labels", "en")
    result = gallery(denoiser, denoiser.runs["reference-0000"], tmp_path, *flags)
    assert result.exit_code == 0
    assert "06C_latent_umap_text_tr.png: UMAP needs the package umap-learn" in result.stderr
    assert set(files(tmp_path)) == TWENTY | {"index.html"}


def test_r3_has_both_tables_and_no_denoising_files(both: Logged, tmp_path: Path) -> None:
    result = gallery(both, both.runs["reference-0000"], tmp_path)
    assert result.exit_code == 0, result.output
    assert "denoising: left out" in result.stderr
    assert not TWENTY & files(tmp_path).keys()
    losses = list(csv.DictReader((tmp_path / "loss_table.csv").open()))
    assert [row["epoch"] for row in losses] == ["1", "2"]
    rows = list(csv.DictReader((tmp_path / "vae_vs_ae.csv").open()))
    assert [row["source"] for row in rows] == [
        "trial reference-0000",
        "trial reference-0001",
        "printed",
        "printed",
    ]
    last = losses[-1]["test −ELBO (nats/image)"]
    assert rows[0]["test loss (nats/image)"] == last


def test_an_autoencoder_has_no_samples_but_all_the_rest(both: Logged, tmp_path: Path) -> None:
    result = gallery(both, both.runs["reference-0001"], tmp_path)
    assert result.exit_code == 0, result.output
    assert "generation: left out, a plain autoencoder has no prior" in result.stderr
    assert "samples_50.png" not in files(tmp_path)
    assert files(tmp_path).keys() >= {"vae_vs_ae.csv", "interpolation_linear.png"}


@pytest.mark.parametrize(
    ("run", "flags", "message"),
    [
        ("0123456789", (), "there is no trial '0123456789' in sqlite:"),
        ("abc", (), "and a run id needs at least 6 digits"),
        ("STUDY", (), "is no trial but a study; give one of its trials"),
        ("TRIAL", ("--only", "denoise"), "--only 'denoise' is unknown"),
        ("TRIAL", ("--pair", "892,7739"), "indices 0 to 199"),
        ("TRIAL", ("--pair", "892"), "give two indices"),
        ("TRIAL", ("--data-dir", str(SLICES / "mnist")), "are not those of the run"),
        ("TRIAL", ("--data-dir", "/nowhere"), "/nowhere"),
        ("TRIAL", ("--tracking-uri", "sqlite:////nowhere/m.db"), "there is no MLflow database"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    denoiser: Logged, tmp_path: Path, run: str, flags: tuple[str, ...], message: str
) -> None:
    trial = denoiser.runs["reference-0000"]
    records = Tracker(denoiser.uri).records("denoise")
    (study,) = [record.run_id for record in records if record.run_id != trial]
    result = gallery(denoiser, {"STUDY": study, "TRIAL": trial}.get(run, run), tmp_path, *flags)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert files(tmp_path) == {}


def test_the_first_digits_of_a_run_id_will_do(denoiser: Logged, tmp_path: Path) -> None:
    run = denoiser.runs["reference-0000"][:8]
    assert gallery(denoiser, run, tmp_path, "--only", "losses").exit_code == 0
    assert "loss_table.csv" in files(tmp_path)


def test_a_trials_key_would_not_do_or_take_another_studys_trial() -> None:
    tracker = bulk_studies.results("plain").tracker
    bulk_studies.written("one")
    record, others = find(tracker, "0003", "plain")
    assert record.tags[names.TRIAL] == "0003"
    assert record not in others
    with pytest.raises(
        LookupFailedError, match=r"several trials 0000, of .*'plain'.* with --study"
    ):
        find(tracker, "0000")
