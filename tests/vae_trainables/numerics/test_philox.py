"""Philox against Random123's known answers, and what its distributions must look like."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vae_trainables.numerics import philox

KNOWN_ANSWERS = [  # Random123, tests/kat_vectors: philox4x32 10
    (["00000000"] * 4, ["00000000"] * 2, ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]),
    (["ffffffff"] * 4, ["ffffffff"] * 2, ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]),
    (
        ["243f6a88", "85a308d3", "13198a2e", "03707344"],
        ["a4093822", "299f31d0"],
        ["d16cfe09", "94fdcceb", "5001e420", "24126ea1"],
    ),
]
COUNT = 200_000


def word(text: str) -> Tensor:
    return torch.tensor([int(text, 16)])


def number(value: int) -> Tensor:
    return torch.tensor(value)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_the_known_answers_of_random123_come_out(
    counter: list[str], key: list[str], expected: list[str]
) -> None:
    c0, c1, c2, c3 = map(word, counter)
    found = philox.philox4x32((c0, c1, c2, c3), (word(key[0]), word(key[1])))
    assert [f"{int(value):08x}" for value in found] == expected


def test_uniform_numbers_have_the_moments_and_bounds_of_the_unit_interval() -> None:
    drawn = philox.uniform(number(3), 1, number(7), COUNT).double()
    assert 0 <= drawn.min() < 1e-4
    assert 1 - 1e-4 < drawn.max() < 1
    error = 4 / math.sqrt(COUNT)  # four standard errors
    assert abs(drawn.mean() - 1 / 2) < error * math.sqrt(1 / 12)
    assert abs(drawn.var() - 1 / 12) < error * math.sqrt(1 / 180)


def test_normal_numbers_have_the_first_four_moments_of_a_standard_normal() -> None:
    drawn = philox.normal(number(3), 1, number(7), COUNT).double()
    error = 4 / math.sqrt(COUNT)
    assert abs(drawn.mean()) < error
    assert abs(drawn.var() - 1) < error * math.sqrt(2)
    assert abs(drawn.pow(3).mean()) < error * math.sqrt(15)
    assert abs(drawn.pow(4).mean() - 3) < error * math.sqrt(96)


def test_the_tails_of_the_normal_are_as_heavy_as_they_should_be() -> None:
    drawn = philox.normal(number(0), 0, number(0), 4 * COUNT)
    for bound, probability in ((2.0, 0.04550026), (3.0, 0.00269980), (4.0, 6.334e-5)):
        share = float((drawn.abs() > bound).double().mean())
        assert share == pytest.approx(probability, abs=5 * math.sqrt(probability / (4 * COUNT)))
    assert drawn.isfinite().all()


def test_a_radius_word_of_zero_gives_a_finite_number(monkeypatch: pytest.MonkeyPatch) -> None:
    zero = torch.zeros(1, dtype=torch.int64)
    monkeypatch.setattr(philox, "_words", lambda *args, **kwargs: (zero, zero, zero, zero))
    drawn = philox.normal(number(0), 0, number(0), 4)
    assert drawn.isfinite().all()
    assert drawn.max() == pytest.approx(math.sqrt(2 * 33 * math.log(2)), rel=1e-5)


def test_lanes_neighbours_steps_and_streams_are_uncorrelated() -> None:
    base = philox.normal(number(5), 2, number(9), COUNT).double()
    others = [
        base.roll(1),
        base.roll(4),
        philox.normal(number(6), 2, number(9), COUNT).double(),
        philox.normal(number(5), 3, number(9), COUNT).double(),
        philox.normal(number(5), 2, number(10), COUNT).double(),
    ]
    for other in others:
        assert abs((base * other).mean()) < 5 / math.sqrt(COUNT)


def test_stacked_seeds_draw_what_each_seed_draws_alone() -> None:
    seeds, steps = torch.tensor([4, 2**31 - 1, 4]), torch.tensor([0, 17, 900])
    for draw in (philox.uniform, philox.normal, philox.permutation):
        together = draw(seeds, 3, steps, 1001)
        for row, seed, step in zip(together, seeds, steps, strict=True):
            assert torch.equal(row, draw(seed, 3, step, 1001))


def test_a_number_does_not_depend_on_how_many_are_drawn() -> None:
    long = philox.normal(number(1), 1, number(1), 1000)
    assert torch.equal(long[:77], philox.normal(number(1), 1, number(1), 77))


def test_a_permutation_holds_every_index_once_and_starts_anywhere() -> None:
    seeds = torch.arange(600)
    orders = philox.permutation(seeds, 0, torch.zeros_like(seeds), 10)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(10).expand(600, 10))
    first = orders[:, 0].bincount(minlength=10).double()
    chi_square = float(((first - 60) ** 2 / 60).sum())
    assert chi_square < 27.9  # 99.9 % of 9 degrees of freedom
