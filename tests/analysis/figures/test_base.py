from __future__ import annotations

import math

import numpy as np

from analysis.figures import base


def test_nan_would_reach_the_page() -> None:
    assert base.rounded([1.23456789, math.nan, math.inf, -math.inf]) == [1.2346, None, None, None]


def test_log_ticks_would_leave_the_range_or_be_bare() -> None:
    ticks = base.log_ticks(4, 64)
    assert ticks["tickvals"] == [5, 10, 20, 50]
    assert ticks["ticktext"] == ["5", "10", "20", "50"]
    assert base.log_ticks(0.001, 10)["ticktext"] == ["0.001", "0.01", "0.1", "1", "10"]


def test_one_far_outlier_would_flatten_all_others() -> None:
    values = np.append(np.linspace(1, 2, 99), 1000.0)
    limits = base.sensible_range(values)
    assert limits is not None
    low, high = limits
    assert low < 1.1
    assert 1.9 < high < 3


def test_ordinary_values_would_be_cut() -> None:
    assert base.sensible_range(np.linspace(0, 1, 100)) is None
    assert base.sensible_range([1.0, 2.0, 500.0]) is None
    assert base.sensible_range([3.0] * 50) is None
