"""The promises of the confirmation, kept on a thousand studies whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from analysis.simulation import __main__ as command
from analysis.simulation import studies
from analysis.simulation.confirmations import SCENARIOS, SimulationFigures, measure
from analysis.simulation.importances import SEARCHES, SearchSpec, measure_importance
from analysis.simulation.optimism import OPTIMISM_SCENARIOS, measure_optimism
from analysis.simulation.overtunings import OVERTUNING_SCENARIOS, measure_overtuning
from analysis.simulation.studies import StudySpec, learning_curves, simulate

STUDIES = 1000


@cache
def measured(scenario: str) -> SimulationFigures:
    """Once per scenario, for all that is promised of it."""
    return measure(SCENARIOS[scenario], STUDIES)


def _allowed(level: float, simulations: int = STUDIES) -> float:
    """The level plus two standard errors of a share in so many simulations."""
    return level + 2 * math.sqrt(level * (1 - level) / simulations)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    ["default", "three seeds", "ten seeds", "search over five seeds", "no difference"],
)
def test_the_interval_covers_the_truth_and_optimism_is_unbiased(scenario: str) -> None:
    found = measured(scenario)
    assert abs(found.coverage - 0.95) <= 0.02
    assert abs(found.coverage_difference - 0.95) <= 0.02
    assert abs(found.optimism_error) <= 3 * found.optimism_standard_error
    assert found.optimism > 20 * found.optimism_standard_error, "there was something to report"


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    ["no difference", "no difference, skewed noise", "no difference, ten seeds"],
)
def test_the_paired_test_keeps_its_level_under_no_difference(scenario: str) -> None:
    found = measured(scenario)
    assert found.rejections <= _allowed(0.05)
    assert found.rejections_sign_flip <= _allowed(0.05)
    assert found.family_wise <= _allowed(0.05)


@pytest.mark.slow
def test_optimism_is_not_claimed_where_nothing_was_picked() -> None:
    scenarios = [OPTIMISM_SCENARIOS[f"{seeds} seeds"] for seeds in (3, 5, 10, 20)]
    figures = [measure_optimism(spec, STUDIES // 2, picked=2) for spec in scenarios]
    three_errors = 3 * math.sqrt(0.05 * 0.95 / (STUDIES // 2))
    assert np.mean([row.claims for row in figures]) == pytest.approx(0.05, abs=0.01)
    for row in figures:
        assert row.claims == pytest.approx(0.05, abs=three_errors)
        assert row.coverage == pytest.approx(0.95, abs=three_errors)
        assert row.claims_student > 0.12, "else the proof could not tell a wrong interval"


@pytest.mark.slow
def test_importance_claims_no_influence_in_a_study_without_any() -> None:
    figures = measure_importance(SearchSpec(parameters=6), 40)
    assert figures.claims <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 40)
    assert math.isnan(figures.detected)
    assert measure_importance(SearchSpec(parameters=6, influence=8.0), 10).detected >= 0.9


@pytest.mark.slow
def test_the_seeds_that_chose_the_winner_would_not_cover_its_truth() -> None:
    found = measured("no difference, search over five seeds")
    assert found.coverage_naive < 0.85, "else the proof could not tell a good method from a bad one"
    assert abs(found.coverage - 0.95) <= 0.02


@pytest.mark.slow
def test_skewed_noise_costs_some_coverage_of_the_mean_and_none_of_the_difference() -> None:
    found = measured("skewed noise")
    assert 0.88 <= found.coverage <= 0.95
    assert found.coverage_difference >= 0.94
    assert abs(found.optimism_error) <= 3 * found.optimism_standard_error


def test_a_real_difference_is_found() -> None:
    spec = StudySpec(spread=0.0, seed_std=0.02, measurement_std=0.01, confirm_top=1)
    study = simulate(spec, np.random.default_rng(0))
    frame = study.frame
    winner = next(iter(study.search_scores))
    frame.loc[frame["configuration"] == winner, "value"] += 0.5
    (comparison,) = study.confirmation().comparisons
    assert comparison.conclusion == "better"


def test_a_study_is_the_same_for_the_same_generator() -> None:
    one, two = (simulate(StudySpec(), np.random.default_rng(3)) for _ in range(2))
    assert one.frame.equals(two.frame)
    assert one.search_scores == two.search_scores


def test_the_confirmation_of_a_study_has_fresh_seeds_common_to_all() -> None:
    spec = StudySpec(confirm_top=3, confirm_seeds=4)
    frame = simulate(spec, np.random.default_rng(0)).frame
    seeds = frame.groupby("configuration")["seed"].agg(tuple)
    assert set(seeds) == {(1000, 1001, 1002, 1003)}
    assert len(seeds) in (3, 4)
    assert "configuration 0" in seeds.index


def test_the_search_prunes_and_keeps_at_least_what_is_confirmed() -> None:
    study = simulate(StudySpec(configurations=40, rungs=(4, 10)), np.random.default_rng(0))
    finished = int((~np.isnan(study.search_runs[:, 0])).sum())
    assert finished == round(round(40 / 3) / 3)
    scores = list(study.search_scores.values())
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(np.nanmax(study.search_runs))


def test_learning_curves_rise_to_their_finals_and_cross() -> None:
    rng = np.random.default_rng(0)
    finals = rng.normal(18, 0.3, 30)
    curves = learning_curves(finals, 40, rng)
    assert np.all(np.diff(curves, axis=1) > 0)
    assert curves[:, -1] == pytest.approx(finals, abs=0.01)
    assert np.argmax(curves[:, 2]) != np.argmax(finals), "an early rung can mislead"


def test_smaller_is_better_is_the_mirror_image() -> None:
    spec = StudySpec(search_seeds=2)
    plain = measure(spec, 20, seed=4)
    assert measure(replace(spec, direction="minimize"), 20, seed=4) == plain


@pytest.mark.parametrize("noise", ["normal", "skewed", "heavy"])
def test_noise_has_mean_zero_and_deviation_one(noise: studies.Noise) -> None:
    drawn = studies._NOISE[noise](np.random.default_rng(0), (200_000,))
    assert drawn.mean() == pytest.approx(0.0, abs=0.01)
    assert drawn.std() == pytest.approx(1.0, abs=0.02)


def test_the_command_prints_a_row_for_every_scenario() -> None:
    app = typer.Typer()
    app.command()(command.main)
    result = CliRunner().invoke(app, ["--simulations", "2"])
    assert result.exit_code == 0
    first = [line.split(" | ")[0].removeprefix("| ") for line in result.stdout.splitlines()]
    assert set(SCENARIOS) | set(OPTIMISM_SCENARIOS) | set(SEARCHES) <= set(first)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["little to gain", "no configuration is better"])
def test_overtuning_is_estimated_without_bias_and_between_two_bounds(scenario: str) -> None:
    found = measure_overtuning(OVERTUNING_SCENARIOS[scenario], STUDIES)
    assert abs(found.bias_against_first) <= 3 * found.error
    assert found.bias_lower < 0 < found.bias_upper
    assert found.false <= _allowed(0.05, found.simulations)
    assert found.error < 0.005, "so that a bias could be seen"
