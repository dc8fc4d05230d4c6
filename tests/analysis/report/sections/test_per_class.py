"""Class by class: numbers against scipy and scikit-learn, from what confirmation runs keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from analysis.report.page import Prose, TableBlock
from analysis.report.sections import confirmed, per_class
from analysis.report.sections.images import Models
from analysis.tracker.client import Tracker
from analysis.tracker.results import StudyResults, collect
from studies.tracker import names
from tests.analysis import bulk, pictured
from tests.analysis.bulk import BulkStudy, Written

LABELS = np.arange(60) % 3
NOBODY = Models({}, ())
SEEDS = (1_000_000, 1_000_001, 1_000_002)


def drawn(role: str, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([len(role), seed])
    return {
        "psnr": (18 + LABELS + rng.normal(size=60)).astype(np.float32),
        "ssim": rng.uniform(size=60).astype(np.float32),
        "neg_elbo": (250 + 20 * LABELS + 30 * rng.normal(size=60)).astype(np.float32),
        "labels": LABELS,
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A confirmed study whose runs of winner and reference kept their scores."""
    folder = tmp_path_factory.mktemp("kept")
    study = BulkStudy(name="kept", trials=8, confirm_seeds=3, pruned=0, failed=0)
    written = bulk.write(study, folder)
    client = pictured.client(written)
    for run in of_both(results_of(written)):
        path = folder / names.TEST_IMAGES_FILE
        np.savez_compressed(path, **drawn(run["role"], run["seed"]))
        client.log_artifact(run["run_id"], str(path))
    return written


def results_of(written: Written) -> StudyResults:
    return collect("kept", Tracker(written.tracking_uri))


def of_both(results: StudyResults) -> list[dict[str, object]]:
    findings = confirmed.findings(results)
    assert findings is not None
    winner = findings[0].winner.configuration
    roles = {winner: "winner", confirmed.REFERENCE: "reference"}
    assert len(roles) == 2
    runs = findings[1].runs
    return [
        run | {"role": roles[run["configuration"]]}
        for run in runs[runs["configuration"].isin(roles)].to_dict("records")
    ]


def test_every_number_is_that_of_scipy_and_scikit_learn(written: Written) -> None:
    section = per_class.section(results_of(written), NOBODY)
    assert section is not None
    quality, likelihood = (b.table.frame for b in section.blocks if isinstance(b, TableBlock))
    assert quality["images"].tolist() == [20, 20, 20]
    for label in range(3):
        own = label == LABELS
        psnr = {
            role: [drawn(role, seed)["psnr"][own].astype(float).mean() for seed in SEEDS]
            for role in ("winner", "reference")
        }
        row = quality.iloc[label]
        interval = stats.ttest_1samp(psnr["winner"], 0).confidence_interval(0.95)
        assert row["psnr_winner"] == pytest.approx(np.mean(psnr["winner"]))
        assert (row["psnr_winner_low"], row["psnr_winner_high"]) == pytest.approx(tuple(interval))
        paired = stats.ttest_rel(psnr["winner"], psnr["reference"]).confidence_interval(0.95)
        assert (row["psnr_gain_low"], row["psnr_gain_high"]) == pytest.approx(tuple(paired))
        areas = [roc_auc_score(own, drawn("reference", seed)["neg_elbo"]) for seed in SEEDS]
        assert likelihood.iloc[label]["anomaly_reference"] == pytest.approx(np.mean(areas))
        lost, kept = (
            np.mean([drawn(role, seed)["neg_elbo"][own].astype(float).mean() for seed in SEEDS])
            for role in ("reference", "winner")
        )
        better = likelihood.iloc[label]["neg_elbo_gain"]
        assert better == pytest.approx(lost - kept), "positive where the winner is better"
    assert "anomaly_gain" not in likelihood


def test_a_file_that_cannot_be_used_is_named_and_its_run_left_out(
    written: Written, tmp_path: Path
) -> None:
    results = results_of(written)
    run = next(run for run in of_both(results) if run["role"] == "winner")
    broken = tmp_path / names.TEST_IMAGES_FILE
    broken.write_bytes(b"PK broken")
    client = pictured.client(written)
    client.log_artifact(run["run_id"], str(broken))
    section = per_class.section(results, NOBODY)
    np.savez_compressed(broken, **drawn("winner", run["seed"]))
    client.log_artifact(run["run_id"], str(broken))
    assert section is not None
    texts = [block.text for block in section.blocks if isinstance(block, Prose)]
    assert f"test_images.npz of {run['trial']} cannot be used" in texts[0]
    assert "2 fresh seeds of the winner and 3 fresh seeds of the reference" in texts[1]


def test_nothing_kept_and_no_model_is_no_section() -> None:
    from tests.analysis import bulk_studies

    assert per_class.section(bulk_studies.results("plain"), NOBODY) is None
