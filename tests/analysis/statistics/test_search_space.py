"""Distributions read from the tracker's JSON, values as they come back from it, and bins."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from analysis.statistics import search_space
from analysis.statistics.search_space import Dimension, dimensions, label


def _dimension(distribution: object) -> Dimension:
    (found,) = dimensions({"x": distribution_to_json(distribution)})  # type: ignore[arg-type]
    return found


def test_examples_in_the_documentation_are_true() -> None:
    assert doctest.testmod(search_space).failed == 0


LR = FloatDistribution(1e-4, 1e-1, log=True)


def test_text_from_the_tracker_reads_as_numbers() -> None:
    assert _dimension(LR).read(pd.Series(["0.001", "1e-2"])) == [0.001, 0.01]
    latent = _dimension(IntDistribution(8, 64, step=8))
    read = latent.read(pd.Series(["8", "64.0", 16]))
    assert read == [8, 64, 16]
    assert all(isinstance(each, int) for each in read)


def test_missing_values_and_values_that_were_not_searched_read_as_none() -> None:
    assert _dimension(LR).read(pd.Series([None, math.nan, "", "0.5", "1e-5"])) == [None] * 5
    assert _dimension(IntDistribution(8, 64, step=8)).read(pd.Series([9, 12, 72])) == [None] * 3
    assert _dimension(FloatDistribution(0, 1, step=0.1)).read(pd.Series([0.3, 0.35])) == [0.3, None]


@pytest.mark.parametrize(
    ("choices", "column"),
    [
        (["adam", "adamw"], ["adam", "adamw"]),
        ([True, False], ["True", "false"]),
        ([None, 3], ["None", "3"]),
        ([0.1, 1.0], ["0.1", "1"]),
        ([[32, 64], [16]], ["[32, 64]", (16,)]),
    ],
)
def test_a_category_is_recognised_in_what_the_tracker_made_of_it(
    choices: list[object], column: list[object]
) -> None:
    text = f'{{"name": "CategoricalDistribution", "attributes": {{"choices": {_json(choices)}}}}}'
    (found,) = dimensions({"x": text})
    read = found.read(pd.Series(column, dtype=object))
    assert read == [label(choice) for choice in choices]
    assert found.read(pd.Series(["something else"])) == [None]


def _json(value: object) -> str:
    import json

    return json.dumps(value)


def test_what_could_take_one_value_only_was_not_searched() -> None:
    fixed = distribution_to_json(FloatDistribution(1.0, 1.0))
    assert dimensions({"x": fixed}) == ()


@pytest.mark.parametrize("text", ["", "[]", "3", '{"name": "Uniform"}', "uniform(0, 1)"])
def test_text_that_is_no_distribution_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="the distribution of 'lr' must be Optuna's JSON"):
        dimensions({"lr": text})


def test_a_distribution_of_a_kind_unknown_here_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search_space, "json_to_distribution", lambda text: object())
    with pytest.raises(ValueError, match="the distribution of 'lr'"):
        dimensions({"lr": "{}"})


def test_a_category_out_of_numpy_is_the_same_category() -> None:
    assert label(np.float64(2.0)) == label(2) == "2"
    assert label((np.int64(1), np.True_)) == "[1, true]"


def test_bins_are_of_equal_width_on_the_scale_that_was_searched() -> None:
    values = [0.0001, 0.00099, 0.001, 0.0099, 0.01, 0.1]
    dimension = _dimension(LR)
    bins = dimension.bins(values, 3)
    assert [each.label for each in bins] == ["0.0001 to 0.001", "0.001 to 0.01", "0.01 to 0.1"]
    assert dimension.place(values, bins).tolist() == [0, 0, 1, 1, 2, 2]
    assert bins[0].center == pytest.approx(math.sqrt(1e-4 * 1e-3))


def test_few_values_and_categories_have_bins_of_their_own() -> None:
    latent = _dimension(IntDistribution(8, 64, step=8))
    bins = latent.bins([64, 8, 16, 8], 6)
    assert [each.center for each in bins] == [8, 16, 64]
    assert latent.place([64, 8, 16, 8], bins).tolist() == [2, 0, 1, 0]
    kind = _dimension(CategoricalDistribution(["conv", "mlp", "res"]))
    bins = kind.bins(["mlp"], 2)
    assert [each.label for each in bins] == ["conv", "mlp", "res"], "also those that never ran"
    assert kind.place(["mlp"], bins).tolist() == [1]


@given(st.lists(st.floats(0.5, 200), min_size=1, max_size=30), st.integers(2, 7), st.booleans())
def test_every_value_falls_into_a_bin_that_holds_it(
    values: list[float], count: int, log: bool
) -> None:
    dimension = _dimension(FloatDistribution(0.5, 200, log=log))
    bins = dimension.bins(list(values), count)
    for value, place in zip(values, dimension.place(list(values), bins), strict=True):
        assert bins[place].low <= value <= bins[place].high
        assert value < bins[place].high or place == len(bins) - 1 or bins[place].low == value
    assert np.all(np.diff([each.low for each in bins]) > 0)
