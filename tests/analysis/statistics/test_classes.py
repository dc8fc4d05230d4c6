"""Quality class by class against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.classes import by_class

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
