"""Curves for points of the space that nobody trained: known where the table knows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from benchmarks import learning_curves
from benchmarks.curve_model import Encoding, Forest, Nearest, explained
from studies.runner import pins
from tests.benchmarks.curves import final, table

SPACE = pins.suggestions(learning_curves.space)


def test_a_point_is_encoded_by_places_choices_and_what_it_lacks() -> None:
    distributions: dict[str, BaseDistribution] = {
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "blocks": IntDistribution(1, 3),
        "kind": CategoricalDistribution(["a", "b"]),
        "likelihood": CategoricalDistribution(["x", "y", "z"]),
    }
    encode = Encoding(distributions)  # by name: blocks, kind, likelihood, lr
    assert encode({"lr": 1e-3, "kind": "b"}) == pytest.approx([-1, 0, 1, -1, -1, -1, 0.5])
    assert encode({"lr": 1e-4, "kind": "a", "blocks": 2, "likelihood": "z"}) == pytest.approx(
        [0.5, 1, 0, 0, 0, 1, 0]
    )


def test_the_nearest_row_answers_at_its_own_place() -> None:
    rows = table(30)
    model = Nearest(rows, "val/mse", SPACE)
    for row, parameters in enumerate(rows.parameters):
        means = np.exp(np.log(rows.curve("val/mse")[row]).mean(axis=0))
        assert model.curve(parameters) == pytest.approx(means, rel=1e-5)


def test_a_forest_learns_what_decides_and_tells_how_well() -> None:
    model = Forest(table(150), "val/mse", SPACE)
    variance, rank = explained(model)
    assert variance > 0.5
    assert rank > 0.7
    new = table(40, seed=9)
    guessed = [model.curve(parameters)[-1] for parameters in new.parameters]
    truth = [final(dict(parameters)) for parameters in new.parameters]
    assert np.corrcoef(np.log(guessed), np.log(truth))[0, 1] > 0.8
    falling = np.diff([model.curve(parameters) for parameters in new.parameters], axis=1)
    assert (falling < 0).mean() > 0.9, "curves of one model, not of eight"


def test_chance_explains_nothing() -> None:
    rows = table(100)
    mixed = rows.values[np.random.default_rng(0).permutation(100)]
    variance, rank = explained(Forest(replace(rows, values=mixed), "val/mse", SPACE))
    assert variance < 0.1
    assert abs(rank) < 0.3


def test_a_seed_shows_what_seeds_of_the_table_differ_by() -> None:
    model = Forest(table(100), "val/mse", SPACE)
    parameters = table(1, seed=3).parameters[0]
    mean = model.curve(parameters)
    seeds = np.array([model.trained(parameters, seed) for seed in range(300)])
    assert np.array_equal(seeds[7], model.trained(parameters, 7)), "the same again"
    spread = np.log(seeds / mean).std(axis=0)
    assert spread == pytest.approx(np.full(len(mean), 0.02), rel=0.25)  # as the table's noise


def test_what_did_not_finish_says_nothing() -> None:
    rows = table(20)
    rows.status[3, 1] = "diverged"
    rows.values[3] = np.nan
    model = Forest(rows, "val/mse", SPACE)
    assert len(model.points) == 19
    assert np.isfinite(model.curve(rows.parameters[3])).all()
