"""Quality class by class against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from analysis.statistics.classes import auroc, by_class, class_mean, over_seeds

LABELS = np.asarray([0, 1, 0, 1, 0, 2])
WINNER = np.asarray([20.0, 15.0, 21.0, 16.0, 22.0, 9.0])
REFERENCE = np.asarray([19.0, 15.5, 20.5, 15.5, 20.0, 8.0])


def test_a_class_has_its_own_images_and_the_lead_is_paired_by_image() -> None:
    first, _, last = by_class({"winner": WINNER, "reference": REFERENCE}, LABELS)
    own = LABELS == 0
    expected = stats.ttest_rel(WINNER[own], REFERENCE[own]).confidence_interval(0.95)
    assert first.images == 3
    assert first.scores["winner"].mean == pytest.approx(WINNER[own].mean())
    assert first.gain is not None
    assert (first.gain.low, first.gain.high) == pytest.approx((expected.low, expected.high))
    assert math.isnan(last.scores["winner"].low), "one image says nothing of the spread"


def test_one_model_alone_leads_nobody() -> None:
    assert all(quality.gain is None for quality in by_class({"winner": WINNER}, LABELS))


def test_over_seeds_the_lead_is_paired_by_seeds_that_both_have() -> None:
    runs = {"winner": {1: WINNER, 2: WINNER + 2, 3: WINNER}, "reference": {1: REFERENCE}}
    first, *_ = over_seeds(runs, LABELS, class_mean)
    assert first.scores["winner"].n == 3
    assert first.gain is not None
    assert first.gain.n == 1
    assert first.gain.mean == pytest.approx((WINNER - REFERENCE)[LABELS == 0].mean())


def test_anomaly_is_scikit_learns_area_with_ties_counted_half() -> None:
    scores = np.asarray([3.0, 1.0, 2.0, 2.0, 5.0, 2.0])
    own = LABELS == 0
    assert auroc(scores, own) == pytest.approx(roc_auc_score(own, scores))
    assert math.isnan(auroc(scores, np.ones(6, bool)))
