"""Bulk studies that many tests read: each is written once per process, into one tracker."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from analysis.tracker.client import Tracker
from analysis.tracker.results import StudyResults, collect
from studies.tracker import names
from tests.analysis import bulk, pictured
from tests.analysis.bulk import BulkStudy, Written

NASTY = "Gürültü giderme <script>alert('ş')</script> & \"ı\""
BASELINES = [
    {"name": name, "split": split, "mse": mse, "psnr": psnr, "ssim": ssim, "n": 5000}
    for name, mse, psnr, ssim in (
        ("do nothing", 0.1014, 9.95, 0.287),
        ("wiener", 0.0168, 18.01, 0.555),
        ("lookup", 0.01345, 19.66, 0.690),
    )
    for split in ("val", "test")
]
TWO_OBJECTIVES = (("val/mse", "minimize"), ("val/probe", "maximize"))

STUDIES = {
    "plain": BulkStudy(name="plain", trials=60),
    "whole": BulkStudy(
        name=NASTY, trials=80, confirm_seeds=3, objectives=TWO_OBJECTIVES,
        kinds=("conv_vae", "mlp_vae"), artifacts={names.BASELINES_FILE: BASELINES},
    ),
    "maximized": BulkStudy(name="maximized", trials=30, objectives=(("val/psnr", "maximize"),)),
    "pictured": BulkStudy(name="pictured", trials=12, pruned=0.3),
    "empty": BulkStudy(name="empty", trials=0),
    "unfinished": BulkStudy(name="unfinished", trials=8, running=0.95, failed=0.05, pruned=0),
    "broken": BulkStudy(name="broken", trials=6, artifacts={names.STUDY_FILE: None}),
    "one": BulkStudy(name="one", trials=1),
    "orphans": BulkStudy(name="orphans", trials=12, parent=False),
    "poor": BulkStudy(
        name="poor", trials=12,
        missing_metrics=("val/psnr", "val/ssim", "val/neg_elbo", "time/epoch_s", "val/kl"),
        artifacts={names.STUDY_FILE: None, names.PROVENANCE_FILE: None},
    ),
    "without_objective": BulkStudy(name="no-mse", trials=12, missing_metrics=("val/mse",)),
}  # fmt: skip

_FOLDER = tempfile.TemporaryDirectory(prefix="bulk-studies-")


@cache
def written(key: str) -> Written:
    """One of `STUDIES` in the tracker; "pictured" with example images and weights."""
    folder = Path(_FOLDER.name)
    found = bulk.write(STUDIES[key], folder)
    if key == "pictured":
        results = collect(STUDIES[key].name, Tracker(found.tracking_uri))
        assert results.winner is not None
        assert results.reference is not None
        runs = [results.winner["run_id"], results.reference["run_id"]]
        pictured.add_examples(found, folder)
        pictured.add_weights(found, folder, runs)
    return found


@cache
def results(key: str) -> StudyResults:
    """The study as a report sees it."""
    return collect(STUDIES[key].name, Tracker(written(key).tracking_uri))


def uri() -> str:
    """The tracker's address."""
    return written("plain").tracking_uri
