from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from analysis.report import builder as report
from analysis.tracker.client import Tracker, TrackerError
from tests.analysis import bulk, bulk_studies, pictured
from tests.analysis.bulk_studies import NASTY

RUNNER = CliRunner()


def invoke(*arguments: str) -> tuple[int, str]:
    """Exit code and everything that was printed."""
    result = RUNNER.invoke(report.app, list(arguments))
    return result.exit_code, result.output


def args(key: str, out: Path) -> list[str]:
    uri = bulk_studies.written(key).tracking_uri
    return ["--study", bulk_studies.STUDIES[key].name, "--tracking-uri", uri, "--out", str(out)]


def one_line(output: str) -> bool:
    lines = [line for line in output.splitlines() if line.strip()]
    return len(lines) == 1 and lines[0].startswith("error: ") and "Traceback" not in output


def test_an_unknown_study_would_not_list_the_known_ones(tmp_path: Path) -> None:
    uri = bulk_studies.written("plain").tracking_uri
    code, output = invoke("--study", "nope", "--tracking-uri", uri, "--out", str(tmp_path / "o"))
    assert code == 2
    assert one_line(output)
    assert "'plain'" in output
    assert not (tmp_path / "o").exists()


def test_a_missing_tracker_would_end_in_a_traceback(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/nothing.db"
    code, output = invoke("--study", "x", "--tracking-uri", uri, "--out", str(tmp_path))
    assert code == 2
    assert one_line(output)


@pytest.mark.timeout(120)
def test_an_unreachable_server_would_hang_or_show_its_password(tmp_path: Path) -> None:
    uri = "http://ada:s3cret@127.0.0.1:9"
    started = time.monotonic()
    code, output = invoke("--study", "x", "--tracking-uri", uri, "--out", str(tmp_path))
    assert code == 2
    assert one_line(output)
    assert "s3cret" not in output
    assert "ada" not in output
    assert time.monotonic() - started < 60


def test_a_mistyped_option_value_would_be_ignored(tmp_path: Path) -> None:
    code, output = invoke(*args("plain", tmp_path), "--embedding", "sammon")
    assert code == 2
    assert "'sammon' is unknown: pca, umap, tsne" in output
    code, output = invoke(*args("plain", tmp_path), "--group-by", "nothing")
    assert code == 2
    assert one_line(output.partition("\n")[2] if output.startswith("plain") else output)
    assert "latent_dim" in output


def test_trials_that_cannot_be_compared_would_give_a_page(tmp_path: Path) -> None:
    code, output = invoke(*args("plain", tmp_path), "--compare", "0003", "--compare", "9999")
    assert code == 2
    assert "--compare '9999': the study has no such trial; its best are" in output
    code, output = invoke(*args("plain", tmp_path), "--compare", "0003")
    assert code == 2
    assert "wants 2 to 10 trials, got 1" in output


def test_without_a_study_it_would_pick_one_of_several() -> None:
    bulk_studies.written("plain")
    bulk_studies.written("one")
    code, output = invoke("--tracking-uri", bulk_studies.uri())
    assert code == 2
    assert "name a study" in output
    assert "'one'" in output


def test_an_unwritable_folder_would_end_in_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    code, output = invoke(*args("empty", file))
    assert code == 2
    assert "Traceback" not in output
    assert "error: " in output


def test_debug_would_hide_the_traceback() -> None:
    uri = bulk_studies.written("plain").tracking_uri
    result = RUNNER.invoke(report.app, ["--study", "nope", "--tracking-uri", uri, "--debug"])
    assert isinstance(result.exception, TrackerError)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("empty", "No trial has finished"),
        ("unfinished", "is not over"),
        ("one", "the reference itself"),
        ("orphans", "parent run is missing"),
        ("poor", "no provenance.json"),
        ("without_objective", "No trial has finished"),
    ],
)
def test_an_odd_study_would_get_no_page(key: str, said: str, tmp_path: Path) -> None:
    code, output = invoke(*args(key, tmp_path), "--debug")
    assert code == 0, output
    page = (tmp_path / "index.html").read_text("utf-8")
    assert said in page
    frame = pd.read_csv(tmp_path / "trials.csv")
    assert len(frame) == len(bulk_studies.results(key).trials)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a study that has everything, by groups."""
    out = tmp_path_factory.mktemp("whole")
    code, output = invoke(*args("whole", out), "--group-by", "model", "--debug")
    assert code == 0, output
    return out


@pytest.mark.slow
def test_the_report_would_be_incomplete(whole: Path) -> None:
    results = bulk_studies.results("whole")
    assert results.winner is not None
    trials = pd.read_csv(whole / "trials.csv", dtype={"trial": str})
    assert trials.loc[0, "trial"] == results.winner["trial"]
    search = trials[(trials["phase"] == "search") & (trials["status"] == "finished")]
    assert search["metrics.val/mse"].min() == trials.loc[0, "metrics.val/mse"]
    for stem in ("comparison_test", "comparison_validation", "best_trials", "confirmed",
                 "against_reference", "pareto_front", "importance", "search_space", "groups",
                 "failures"):  # fmt: skip
        for extension in ("csv", "md", "tex"):
            assert (whole / f"{stem}.{extension}").stat().st_size > 0
    for stem in ("learning_curves_val_mse", "parallel_coordinates", "slice_beta", "importance",
                 "pareto_front", "confirmation", "message", "groups",
                 "group_1_curves"):  # fmt: skip
        for extension in ("png", "svg", "pdf"):
            assert (whole / "figures" / f"{stem}.{extension}").stat().st_size > 1000


@pytest.mark.slow
def test_the_same_number_would_differ_between_page_and_files(whole: Path) -> None:
    page = (whole / "index.html").read_text("utf-8")
    first = pd.read_csv(whole / "comparison_test.csv", dtype=str).iloc[0]
    for value in (first["MSE"], first["PSNR (dB)"], first["MSE low"]):
        assert value in page
        assert value in (whole / "comparison_test.md").read_text("utf-8")
        assert value in (whole / "comparison_test.tex").read_text("utf-8")
    assert "s3cret" not in page
    assert "<script>alert" not in page
    assert NASTY.partition(" ")[0] in page


@pytest.mark.slow
def test_the_page_would_not_be_stored_with_the_study(tmp_path: Path) -> None:
    code, output = invoke(*args("one", tmp_path), "--attach")
    assert code == 0, output
    parent = bulk_studies.written("one").parent_id
    assert parent is not None
    tracker = Tracker(bulk_studies.uri())  # what it fetches lives as long as it does
    stored = tracker.artifact(parent, "report/index.html")
    assert stored is not None
    assert stored.read_bytes() == (tmp_path / "index.html").read_bytes()
    for linked in ("trials.csv", "comparison_test.csv", "figures/message.png"):
        beside = tracker.artifact(parent, f"report/{linked}")
        assert beside is not None, "the page's links lead there"
        assert beside.read_bytes() == (tmp_path / linked).read_bytes()


@pytest.mark.slow
def test_several_studies_would_overwrite_each_other(tmp_path: Path) -> None:
    both = [*args("plain", tmp_path), "--study", bulk_studies.STUDIES["maximized"].name]
    bulk_studies.written("maximized")
    code, output = invoke(*both, "--debug")
    assert code == 0, output
    assert {path.name for path in tmp_path.glob("*trials.csv")} >= {
        "1-plain-trials.csv",
        "2-maximized-trials.csv",
    }
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "Studies side by side" in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_pictures_would_be_left_out(tmp_path: Path) -> None:
    code, output = invoke(*args("pictured", tmp_path), "--embedding", "pca", "--embedding", "tsne")
    assert code == 0, output
    for stem in ("denoising_grid", "cases", "samples", "interpolation", "traversals",
                 "latent_pca_winner", "latent_tsne_reference"):  # fmt: skip
        assert (tmp_path / "figures" / f"{stem}.png").exists()


@pytest.mark.slow
def test_a_copied_tracker_without_its_artifacts_would_get_no_report(tmp_path: Path) -> None:
    """A report is made on another machine, which has the tracker alone."""
    written = bulk.write(bulk.BulkStudy(name="moved", trials=6), tmp_path / "there")
    (tmp_path / "there" / "artifacts").rename(tmp_path / "elsewhere")
    out = str(tmp_path / "out")
    code, output = invoke("--tracking-uri", written.tracking_uri, "--out", out, "--debug")
    assert code == 0, output
    assert "no provenance.json" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_building_a_report_would_write_to_the_tracker() -> None:
    written = bulk_studies.written("one")
    client = pictured.client(written)
    before = client.search_experiments()
    with pytest.raises(TrackerError):
        Tracker(written.tracking_uri).records("a study that is not there")
    assert len(client.search_experiments()) == len(before)


@pytest.mark.slow
def test_a_page_on_hundreds_of_trials_stays_small_and_says_that_it_is_thinned(
    tmp_path: Path,
) -> None:
    """Time, memory and size of ten thousand: `python -m benchmarks.report_scale`."""
    study = bulk.BulkStudy(name="large", trials=600, epochs=20, pruned=0.0, confirm_seeds=5)
    written = bulk.write(study, tmp_path)
    out = tmp_path / "report"
    command = [sys.executable, "-m", "analysis.report", "--study", "large", "--out", str(out)]
    _run([*command, "--tracking-uri", written.tracking_uri])
    assert (out / "index.html").stat().st_size < 10e6
    page = (out / "index.html").read_text("utf-8")
    assert re.search(r"Shown are 150 of \d{3} trials", page)
    assert re.search(r"Shown are 300 of \d{3} finished trials", page)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
