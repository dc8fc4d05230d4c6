"""Intervals against textbook values, and bands against the interval at each x."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics.intervals import band, bootstrap_interval, mean_interval

# Two-sided 95 % points of Student's t as printed in statistical tables, by degrees of freedom.
PRINTED_T = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262}

SCORES = st.lists(st.floats(-100, 100), min_size=2, max_size=10)


@pytest.mark.parametrize("degrees", PRINTED_T)
def test_the_interval_uses_the_printed_t_values(degrees: int) -> None:
    values = np.arange(degrees + 1, dtype=np.float64)
    found = mean_interval(values)
    error = math.sqrt(sum((v - values.mean()) ** 2 for v in values) / degrees / (degrees + 1))
    assert found.half_width == pytest.approx(PRINTED_T[degrees] * error, rel=2e-4)
    assert found.mean == values.mean()
    assert found.n == degrees + 1


@given(SCORES)
def test_the_interval_agrees_with_scipy(values: list[float]) -> None:
    found = mean_interval(values, confidence=0.9)
    if found.std > 1e-9:
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(SCORES, st.floats(-50, 50), st.floats(0.1, 10))
def test_the_interval_moves_and_scales_with_its_values(
    values: list[float], shift: float, scale: float
) -> None:
    before, after = mean_interval(values), mean_interval(np.asarray(values) * scale + shift)
    assert after.low == pytest.approx(before.low * scale + shift, abs=1e-6)
    assert after.high == pytest.approx(before.high * scale + shift, abs=1e-6)


def test_one_value_has_a_mean_and_no_interval_and_none_has_neither() -> None:
    one, none = mean_interval([2.0]), mean_interval([])
    assert (one.mean, one.n) == (2.0, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.std)
    assert none.n == 0
    assert math.isnan(none.mean)


def test_a_failed_seed_is_not_averaged_silently() -> None:
    with pytest.raises(ValueError, match="every value must be finite"):
        mean_interval([1.0, math.nan])


def test_a_confidence_in_percent_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        mean_interval([1.0, 2.0], confidence=95)


def test_a_band_is_the_interval_at_each_x_whatever_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"epoch": epoch, "seed": seed, "value": float(rng.normal(epoch))}
        for epoch in (3, 1, 2)
        for seed in range(5)
    ]
    frame = pd.DataFrame(rows).sample(frac=1, random_state=1)
    found = band(frame, x="epoch", value="value")
    assert found.x == (1.0, 2.0, 3.0)
    for place, epoch in enumerate(found.x):
        expected = mean_interval([row["value"] for row in rows if row["epoch"] == epoch])
        assert found.mean[place] == pytest.approx(expected.mean)
        assert found.low[place] == pytest.approx(expected.low)
        assert found.high[place] == pytest.approx(expected.high)


def test_a_band_shows_where_seeds_stopped_early_or_diverged() -> None:
    frame = pd.DataFrame(
        {
            "epoch": [1, 1, 1, 2, 2, 2],
            "seed": [0, 1, 2, 0, 1, 2],
            "value": [1.0, 2.0, 3.0, 4.0, math.nan, math.inf],
        }
    )
    found = band(frame, x="epoch", value="value")
    assert found.n == (3, 1)
    assert found.mean == (2.0, 4.0)
    assert math.isnan(found.low[1])


def test_a_seed_counted_twice_is_refused() -> None:
    frame = pd.DataFrame({"epoch": [1, 1], "seed": [7, 7], "value": [1.0, 2.0]})
    with pytest.raises(ValueError, match="seed 7 appears twice at epoch = 1"):
        band(frame, x="epoch", value="value")


def test_a_band_without_rows_is_empty() -> None:
    empty = pd.DataFrame({"epoch": [], "seed": [], "value": []})
    assert band(empty, x="epoch", value="value").x == ()


def test_the_bootstrap_agrees_with_scipys() -> None:
    values = np.random.default_rng(3).exponential(size=40)
    low, high = bootstrap_interval(values, "median", resamples=4000)
    theirs = stats.bootstrap(
        (values,), np.median, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    spread = float(theirs.high - theirs.low)
    assert low == pytest.approx(theirs.low, abs=0.08 * spread)
    assert high == pytest.approx(theirs.high, abs=0.08 * spread)


def test_the_bootstrap_of_many_values_covers_the_mean() -> None:
    rng = np.random.default_rng(5)
    intervals = [
        bootstrap_interval(rng.exponential(size=60), "mean", resamples=400, seed=i)
        for i in range(400)
    ]
    covered = np.mean([low <= 1.0 <= high for low, high in intervals])
    assert 0.90 <= covered <= 0.97


@settings(max_examples=30)
@given(st.lists(st.floats(-5, 5), max_size=4))
def test_too_few_values_have_no_bootstrap_interval(values: list[float]) -> None:
    assert all(math.isnan(limit) for limit in bootstrap_interval(values, "mean"))
