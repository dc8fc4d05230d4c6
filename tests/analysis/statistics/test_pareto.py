"""Front, hypervolume and knee against brute force, inclusion-exclusion and Monte Carlo."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics.pareto import hypervolume, knee, non_dominated, pareto_front
from analysis.statistics.quantities import Direction

MIN: Direction = "minimize"
MAX: Direction = "maximize"
DIRECTIONS = st.lists(st.sampled_from([MIN, MAX]), min_size=2, max_size=3)


@st.composite
def _scored(draw: st.DrawFn, rows: int = 8) -> tuple[np.ndarray, list[Direction]]:
    """Few different values, so that ties and repeated rows are common."""
    directions = draw(DIRECTIONS)
    row = st.lists(st.integers(0, 5), min_size=len(directions), max_size=len(directions))
    values = draw(st.lists(row, min_size=1, max_size=rows))
    return np.asarray(values, dtype=np.float64), directions


def _dominates(one: np.ndarray, other: np.ndarray, directions: list[Direction]) -> bool:
    at_least, better = True, False
    for a, b, direction in zip(one, other, directions, strict=True):
        if direction == MAX:
            a, b = -a, -b
        at_least &= bool(a <= b)
        better |= bool(a < b)
    return at_least and better


@settings(deadline=None)
@given(_scored())
def test_the_front_is_what_no_row_dominates(
    scored: tuple[np.ndarray, list[Direction]],
) -> None:
    scores, directions = scored
    expected = [not any(_dominates(o, row, directions) for o in scores) for row in scores]
    assert non_dominated(scores, directions).tolist() == expected


def _by_inclusion_exclusion(costs: np.ndarray, limit: np.ndarray) -> float:
    """Volume of a union of boxes from the volumes of all their intersections."""
    total = 0.0
    for size in range(1, len(costs) + 1):
        for chosen in combinations(costs, size):
            sides = np.maximum(limit - np.max(chosen, axis=0), 0.0)
            total += (-1) ** (size + 1) * float(np.prod(sides))
    return total


@settings(deadline=None)
@given(_scored(), st.integers(0, 6))
def test_the_hypervolume_is_exact(scored: tuple[np.ndarray, list[Direction]], limit: int) -> None:
    scores, directions = scored
    signs = np.asarray([1.0 if direction == MIN else -1.0 for direction in directions])
    point = np.asarray(
        [float(limit) if direction == MIN else 5.0 - limit for direction in directions]
    )
    expected = _by_inclusion_exclusion(scores * signs, point * signs)
    assert hypervolume(scores, directions, point) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_hypervolume_agrees_with_monte_carlo(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    scores = rng.random((40, objectives))
    draws = rng.random((100_000, objectives))
    hit = np.zeros(len(draws), dtype=bool)
    for row in scores:
        hit |= (draws >= row).all(axis=1)
    share = float(hit.mean())
    error = math.sqrt(share * (1 - share) / len(draws))
    found = hypervolume(scores, [MIN] * objectives, [1.0] * objectives)
    assert found == pytest.approx(share, abs=4 * error)


def test_the_hypervolume_of_a_point_is_its_box() -> None:
    assert hypervolume(np.asarray([[1.0], [0.5]]), [MIN], [3.0]) == 2.5
    assert hypervolume(np.asarray([[1.0, 18.0]]), [MIN, MAX], [3.0, 10.0]) == 16.0
    assert hypervolume(np.asarray([[1.0, 2.0, 3.0]]), [MIN] * 3, [2.0, 4.0, 6.0]) == 6.0


@settings(deadline=None)
@given(_scored(), st.randoms(use_true_random=False))
def test_more_trials_never_shrink_the_hypervolume_and_order_does_not_matter(
    scored: tuple[np.ndarray, list[Direction]], random: object
) -> None:
    scores, directions = scored
    point = [6.0 if direction == MIN else -1.0 for direction in directions]
    whole = hypervolume(scores, directions, point)
    assert hypervolume(scores[:-1], directions, point) <= whole + 1e-9
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert hypervolume(scores[order], directions, point) == pytest.approx(whole)


def test_a_reference_point_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one value for each of 2 objectives, got \[1.0\]"):
        hypervolume(np.asarray([[1.0, 2.0]]), [MIN, MAX], [1.0])


def test_the_knee_is_the_corner_of_an_elbow() -> None:
    scores = np.asarray([[0.0, 10.0], [1.0, 2.0], [5.0, 1.0], [10.0, 0.0]])
    position, reason = knee(scores, [MIN, MIN])
    assert position == 1
    # In 0-1 coordinates (0.1, 0.2) lies (1 - 0.3) / sqrt(2) from the line x + y = 1.
    assert reason.startswith(f"{0.7 / math.sqrt(2):.2f} inside")


@given(st.floats(0.1, 100), st.floats(0.1, 100), st.floats(-50, 50))
def test_the_knee_does_not_depend_on_units(first: float, second: float, shift: float) -> None:
    scores = np.asarray([[0.0, 10.0], [1.0, 2.0], [5.0, 1.0], [10.0, 0.0]])
    changed = scores * [first, -second] + shift
    assert knee(changed, [MIN, MAX])[0] == 1


def test_a_front_without_a_bend_has_no_knee() -> None:
    straight = np.asarray([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    hollow = np.asarray([[0.0, 2.0], [1.9, 1.9], [2.0, 0.0]])
    for scores in (straight, hollow):
        position, reason = knee(scores, [MIN, MIN])
        assert position is None
        assert reason == "no knee: no point lies inside the line between the extremes"
    position, reason = knee(np.asarray([[0.0, 1.0], [1.0, 0.0]]), [MIN, MIN])
    assert position is None
    assert "at least three points" in reason
    flat = np.asarray([[1.0, 1.0]] * 3)
    assert knee(flat, [MIN, MIN])[1] == "no knee: the front does not vary in every objective"


TRIALS = pd.DataFrame(
    {
        "mse": [0.020, 0.016, 0.018, 0.017, 0.015, math.nan],
        "probe": [0.88, 0.80, 0.87, 0.70, math.nan, 0.99],
    },
    index=["t0", "t1", "t2", "t3", "t4", "t5"],
)


def test_the_front_names_its_trials_and_its_knee() -> None:
    front = pareto_front(TRIALS, {"mse": MIN, "probe": MAX}, reference_point=[0.025, 0.60])
    assert front.members == ("t1", "t2", "t0")
    assert front.values == ((0.016, 0.80), (0.018, 0.87), (0.020, 0.88))
    assert front.knee == "t2"
    expected = 0.009 * 0.20 + 0.007 * 0.07 + 0.005 * 0.01
    assert front.hypervolume == pytest.approx(expected)
    assert front.share == pytest.approx(expected / (0.009 * 0.28))


def test_two_extreme_points_have_a_hypervolume_up_to_the_stated_point() -> None:
    ends = pd.DataFrame({"mse": [0.01, 0.02], "probe": [0.7, 0.8]})
    front = pareto_front(ends, {"mse": MIN, "probe": MAX})
    assert front.reference_point == pytest.approx((0.021, 0.69))
    assert front.hypervolume == pytest.approx(0.011 * 0.01 + 0.001 * 0.1)


def test_without_a_reference_point_it_lies_a_tenth_beyond_the_worst_values() -> None:
    front = pareto_front(TRIALS, {"mse": MIN, "probe": MAX})
    assert front.reference_point == pytest.approx((0.0204, 0.682))
    assert 0 < front.share <= 1


def test_a_reference_point_better_than_every_trial_leaves_no_volume() -> None:
    front = pareto_front(TRIALS, {"mse": MIN, "probe": MAX}, reference_point=[0.01, 0.99])
    assert (front.hypervolume, front.share) == (0.0, 0.0)
    assert len(front.members) == 3


def test_a_study_without_a_scored_trial_has_an_empty_front() -> None:
    front = pareto_front(TRIALS.iloc[4:], {"mse": MIN, "probe": MAX})
    assert front.members == ()
    assert (front.hypervolume, front.share, front.knee) == (0.0, 0.0, None)


def test_a_front_of_one_objective_is_refused() -> None:
    with pytest.raises(ValueError, match=r"two or more objectives, got \['mse'\]"):
        pareto_front(TRIALS, {"mse": MIN})


def test_ten_thousand_trials_are_quick_enough_for_a_report() -> None:
    scores = np.random.default_rng(0).random((10_000, 3))
    keep = non_dominated(scores, [MIN] * 3)
    assert 20 < keep.sum() < 1000
    assert 0.9 < hypervolume(scores[keep], [MIN] * 3, [1.0] * 3) < 1.0
