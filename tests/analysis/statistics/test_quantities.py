"""Numbers as text: digits, units, signs and the names of the tracker's metrics."""

from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics import quantities
from analysis.statistics.quantities import (
    MISSING,
    Quantity,
    format_number,
    format_p,
    quantity,
    sign,
)


def test_examples_in_the_documentation_are_true() -> None:
    assert doctest.testmod(quantities).failed == 0


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (18.015, ".2f", "18.02"),
        (-0.004, ".2f", "0.00"),
        (-0.006, ".2f", "-0.01"),
        (0.00012345, ".2e", "1.23e-04"),
        (1234.5, ".4g", "1234"),
        (3.0, "d", "3"),
        (math.inf, ".2f", "inf"),
        (-math.inf, ".2f", "-inf"),
        (math.nan, ".2f", MISSING),
        (None, ".2f", MISSING),
    ],
)
def test_a_number_prints_with_its_digits(value: float | None, spec: str, text: str) -> None:
    assert format_number(value, spec) == text


def test_a_signed_number_shows_plus_and_zero_has_no_sign() -> None:
    assert format_number(0.25, ".1f", signed=True) == "+0.2"
    assert format_number(-0.001, ".1f", signed=True) == "0.0"
    assert format_number(0.0, ".1f", signed=True) == "0.0"


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_what_is_printed_parses_back_within_half_a_digit(value: float, digits: int) -> None:
    text = format_number(value, f".{digits}f")
    assert abs(float(text) - value) <= 0.5000001 * 10.0**-digits
    assert not (text.startswith("-") and float(text) == 0)


def test_small_p_values_do_not_claim_zero() -> None:
    assert format_p(0.00001) == "< 0.001"
    assert format_p(0.001) == "0.001"
    assert format_p(0.0312) == "0.031"
    assert format_p(math.nan) == MISSING


def test_a_metric_of_the_tracker_has_label_unit_and_direction() -> None:
    assert quantity("val/mse") == Quantity("validation MSE", "", "minimize", ".5f")
    assert quantity("test/psnr").header == "test PSNR (dB)"
    assert quantity("psnr").label == "PSNR"
    assert quantity("lr") == Quantity("lr", "", None, ".4g")
    assert quantity("other/psnr").label == "PSNR"


def test_a_sentence_has_the_unit_and_a_missing_value_has_none() -> None:
    psnr = quantity("test/psnr")
    assert psnr.with_unit(18.014) == "18.01 dB"
    assert psnr.with_unit(0.5, signed=True) == "+0.50 dB"
    assert psnr.with_unit(math.nan) == MISSING
    assert quantity("test/ssim").with_unit(0.59501) == "0.5950"


def test_a_difference_has_one_digit_more() -> None:
    difference = quantity("test/psnr").difference()
    assert (difference.label, difference.unit) == ("difference in test PSNR", "dB")
    assert difference.text(0.0456) == "0.046"
    assert Quantity("count", spec="d").difference().spec == "d"


def test_a_wrong_format_or_direction_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"spec of 'PSNR'.*got '3x'"):
        Quantity("PSNR", spec="3x")
    with pytest.raises(ValueError, match="'minimize' or 'maximize', got 'down'"):
        sign("down")
