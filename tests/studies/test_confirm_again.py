"""Whether fresh seeds lie where the printed ones say: known answers of the prediction interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from studies.confirm_again import Again

PRINTED = {1_000_000: 18.41, 1_000_001: 18.47, 1_000_002: 18.44, 1_000_003: 18.52, 1_000_004: 18.45}


def again(*fresh: float) -> Again:
    return Again("trial 0007", "test/psnr", PRINTED, dict(enumerate(fresh)))


def test_the_range_is_students_for_the_mean_of_so_many_new_draws() -> None:
    values = np.array(list(PRINTED.values()))
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(1 / 2 + 1 / 5)
    expected = again(18.40, 18.50).expected
    assert expected.low == pytest.approx(values.mean() - half)
    assert expected.high == pytest.approx(values.mean() + half)
    assert expected.mean == pytest.approx(18.45)


@pytest.mark.parametrize(
    ("fresh", "holds"), [((18.46,), True), ((18.70,), False), ((18.2,), False)]
)
def test_what_lies_outside_is_said(fresh: tuple[float, ...], holds: bool) -> None:
    tried = again(*fresh)
    assert tried.holds == holds
    assert ("inside of" in tried.sentence()) == holds
    assert "printed test PSNR 18.46 dB (18.41 to 18.51), 5 seeds" in tried.sentence()


def test_it_holds_in_95_of_100_studies_where_nothing_has_changed() -> None:
    draws = np.random.default_rng(0).normal(18, 0.05, (2_000, 5))
    tried = [
        Again("x", "test/psnr", dict(enumerate(row[:3])), dict(enumerate(row[3:]))) for row in draws
    ]
    assert np.mean([each.holds for each in tried]) == pytest.approx(0.95, abs=0.015)
