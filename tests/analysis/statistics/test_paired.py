"""The paired tests and Holm's correction against scipy, enumeration and printed examples."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics.paired import (
    PairedComparison,
    compare,
    corrected,
    holm,
    paired_t,
    sign_flip,
)

DIFFERENCES = st.lists(st.floats(-10, 10), min_size=2, max_size=9)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)

# Darwin's maize (cross- minus self-fertilised, eighths of an inch), from Fisher (1935), table 3.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_darwins_maize_gives_the_p_values_that_fisher_printed() -> None:
    # Fisher: t = 2.148, p = 4.970 %; 1726 of 32,768 sign patterns reach the sum 314: 5.267 %.
    assert paired_t(DARWIN) == pytest.approx(0.04970, abs=1e-4)
    assert sign_flip(DARWIN) == pytest.approx(1726 / 32768, abs=0.003)


@given(DIFFERENCES)
def test_the_t_test_agrees_with_scipy(differences: list[float]) -> None:
    assume(np.std(differences) > 1e-6)
    expected = float(stats.ttest_rel(differences, np.zeros(len(differences))).pvalue)
    assert paired_t(differences) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=8))
def test_the_sign_flip_test_counts_every_pattern(differences: list[int]) -> None:
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    assert sign_flip(differences) == np.mean([each >= observed for each in sums])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(-9999, 9999).map(lambda n: n / 1000), min_size=3, max_size=8))
def test_the_sign_flip_test_agrees_with_scipy(differences: list[float]) -> None:
    # Scipy takes twice the smaller tail, which for symmetric sums is the tail of the absolute sum.
    found = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=False
    )
    if abs(sum(differences)) > 1e-9:
        assert sign_flip(differences) == pytest.approx(found.pvalue)


def test_beyond_twelve_seeds_random_flips_come_close_to_the_exact_value() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1.0, 14)
    patterns = np.asarray(list(product((1, -1), repeat=14)))
    exact = np.mean(np.abs(patterns @ differences) >= abs(differences.sum()) - 1e-12)
    assert sign_flip(differences) == pytest.approx(exact, abs=4 * math.sqrt(exact / 50_000))
    assert sign_flip(differences) == sign_flip(differences), "the same data give the same p"


def test_random_flips_never_give_a_p_of_zero() -> None:
    assert sign_flip([1.0] * 40) == pytest.approx(1 / 50_001)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_floor_of_the_sign_flip_test_is_reached_and_not_passed(seeds: int) -> None:
    ours = dict.fromkeys(range(seeds), 2.0) | {0: 2.5}
    found = compare("a", "b", {"a": ours, "b": dict.fromkeys(range(seeds), 1.0)}, direction=UP)
    assert found.p_sign_flip == found.sign_flip_floor == 2 / 2**seeds


@given(DIFFERENCES)
def test_neither_test_minds_which_configuration_comes_first(differences: list[float]) -> None:
    turned = [-each for each in differences]
    assert sign_flip(turned) == sign_flip(differences)
    assert paired_t(turned) == pytest.approx(paired_t(differences))


@pytest.mark.parametrize("p", [paired_t, sign_flip])
def test_equal_scores_are_no_evidence(p: object) -> None:
    assert callable(p)
    assert p([0.0] * 6) == 1.0


def test_differences_that_do_not_vary_do_not_give_a_p_of_zero() -> None:
    # 0.3 - 0.2 and 0.1 differ in the last bit: rounding is no spread.
    assert paired_t([0.1, 0.3 - 0.2, 0.1, 0.1, 0.1]) == 2 / 2**5


def test_one_seed_or_none_cannot_be_tested() -> None:
    assert math.isnan(paired_t([1.0]))
    assert math.isnan(paired_t([]))
    assert math.isnan(sign_flip([]))


def test_holm_gives_what_r_prints() -> None:
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm"); p.adjust(c(.01,.04,.03,.005), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx((0.05, 0.08, 0.09, 0.09, 0.09))
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


@given(P_VALUES, st.floats(0.001, 0.999))
def test_holm_rejects_as_the_step_down_procedure_does(raw: list[float], level: float) -> None:
    rejected = set()
    for step, place in enumerate(sorted(range(len(raw)), key=lambda i: raw[i])):
        if raw[place] > level / (len(raw) - step):
            break
        rejected.add(place)
    adjusted = holm(raw)
    assume(all(abs(each - level) > 1e-9 for each in adjusted))
    assert {i for i, p in enumerate(adjusted) if p <= level} == rejected


@given(P_VALUES)
def test_holm_lies_between_no_correction_and_bonferroni(raw: list[float]) -> None:
    for before, after in zip(raw, holm(raw), strict=True):
        assert before <= after <= min(1.0, len(raw) * before) + 1e-12


def test_a_comparison_that_was_not_tested_does_not_cost_the_others() -> None:
    adjusted = holm([0.02, math.nan, 0.5])
    assert adjusted[0] == 0.04
    assert math.isnan(adjusted[1])
    assert holm([]) == ()


def test_a_p_value_in_percent_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\], got"):
        holm([5.0])


UP, DOWN = "maximize", "minimize"


def _compared(direction: str, gap: float) -> PairedComparison:
    noise = np.random.default_rng(0).normal(0, 0.01, 6)
    scores = {
        "a": {seed: 1.0 + gap + noise[seed] for seed in range(6)},
        "b": dict.fromkeys(range(6), 1.0),
    }
    return compare("a", "b", scores, direction=direction)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("direction", "gap", "conclusion"),
    [(UP, 1, "better"), (UP, -1, "worse"), (DOWN, -1, "better"), (DOWN, 1, "worse")],
)
def test_better_follows_the_direction_of_the_metric(
    direction: str, gap: float, conclusion: str
) -> None:
    found = _compared(direction, gap)
    assert found.conclusion == conclusion
    assert found.difference.mean == pytest.approx(gap, abs=0.02)
    assert (found.gain > 0) == (conclusion == "better")


def test_a_gap_within_the_noise_is_uncertain() -> None:
    assert _compared(UP, 0.0).conclusion == "uncertain"


def test_only_seeds_that_both_finished_are_paired() -> None:
    scores = {"a": {1: 5.0, 2: 6.0, 3: 9.0}, "b": {2: 1.0, 3: 2.0, 4: 100.0}}
    found = compare("a", "b", scores, direction="maximize")
    assert found.seeds == (2, 3)
    assert found.difference.mean == 6.0


def test_a_configuration_without_runs_is_too_few_seeds() -> None:
    found = compare("a", "gone", {"a": {1: 5.0, 2: 6.0}}, direction="maximize")
    assert found.seeds == ()
    assert found.conclusion == "too few seeds"


def test_correction_over_several_comparisons_can_take_certainty_away() -> None:
    scores = {
        "reference": {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 0.0},
        "clear-ish": {1: 0.1, 2: 0.3, 3: 0.2, 4: 0.4, 5: 0.01},
        "noise": {1: 0.1, 2: -0.1, 3: 0.3, 4: -0.3, 5: 0.01},
    }
    alone = compare("clear-ish", "reference", scores, direction="maximize")
    other = compare("noise", "reference", scores, direction="maximize")
    assert alone.conclusion == "better"
    together = corrected([alone, other])
    assert together[0].p_holm == pytest.approx(2 * alone.p_t)
    assert together[0].conclusion == "uncertain"
    assert together[0].p_t == alone.p_t
