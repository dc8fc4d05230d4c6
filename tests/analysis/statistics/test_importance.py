"""Importance on searches whose answer is known, and the warnings where they cannot tell."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from analysis.statistics.importance import (
    Importance,
    ParameterImportance,
    _doubts,
    importance,
    quiet_optuna,
)

SPACE = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "latent_dim": IntDistribution(8, 64, step=8),
    "kind": CategoricalDistribution(["conv_vae", "mlp_vae"]),
    "unused": FloatDistribution(0.0, 1.0),
}
DISTRIBUTIONS = {name: distribution_to_json(each) for name, each in SPACE.items()}


def _trials(count: int, seed: int = 0) -> pd.DataFrame:
    """Random search in which lr matters most, kind a little and the others not at all."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "lr": 10 ** rng.uniform(-5, -1, count),
            "latent_dim": rng.integers(1, 9, count) * 8,
            "kind": rng.choice(["conv_vae", "mlp_vae"], count),
            "unused": rng.random(count),
            "status": "finished",
        }
    )
    distance = np.abs(np.log10(frame["lr"]) + 3)
    frame["psnr"] = 18 - distance + 0.2 * (frame["kind"] == "conv_vae")
    frame["psnr"] += 0.02 * rng.standard_normal(count)
    return frame


def _importance(frame: pd.DataFrame, **changed: Any) -> Importance:
    asked = {"metric": "psnr", "direction": "maximize", "distributions": DISTRIBUTIONS}
    return importance(frame, **(asked | changed))


@pytest.fixture(scope="module")
def known() -> Importance:
    return _importance(_trials(120))


def test_what_made_the_scores_comes_first_under_both_methods(known: Importance) -> None:
    first = known.parameters[0]
    assert first.name == "lr"
    assert first.ped_anova > 0.5
    assert first.fanova > 0.8
    assert first.above_chance


def test_shares_sum_to_one_and_come_in_order(known: Importance) -> None:
    assert sum(each.ped_anova for each in known.parameters) == pytest.approx(1.0)
    assert sum(each.fanova for each in known.parameters) == pytest.approx(1.0)
    means = [each.mean for each in known.parameters]
    assert means == sorted(means, reverse=True)
    assert known.trials == 120


def test_what_had_no_influence_is_not_above_chance(known: Importance) -> None:
    shown = {each.name for each in known.parameters if each.above_chance}
    assert "lr" in shown
    assert len({"unused", "latent_dim"} - shown) >= 1
    assert any(text.startswith("No influence is shown for") for text in known.warnings)


def test_chance_is_one_line_for_all_parameters(known: Importance) -> None:
    assert len({parameter.chance for parameter in known.parameters}) == 1


def test_a_metric_to_be_minimised_gives_the_same_as_its_mirror(known: Importance) -> None:
    mirrored = _trials(120)
    mirrored["psnr"] *= -1
    found = _importance(mirrored, direction="minimize")
    assert found.parameters == known.parameters


def test_text_columns_from_the_tracker_give_the_same(known: Importance) -> None:
    text = _trials(120)
    for name in SPACE:
        text[name] = text[name].map(repr if name != "kind" else str)
    assert _importance(text).parameters == known.parameters


def test_the_same_runs_give_the_same_answer_every_time(known: Importance) -> None:
    assert _importance(_trials(120)) == known


def test_the_log_scale_of_the_search_is_the_scale_of_fanova() -> None:
    # Only below 1e-4, a quarter of the searched scale and a thousandth of the linear one.
    frame = _trials(150)
    frame["psnr"] = np.where(frame["lr"] < 1e-4, 1.0, 0.0) + 0.5 * (frame["kind"] == "conv_vae")
    found = {each.name: each.fanova for each in _importance(frame).parameters}
    # Variance p(1 - p) of the two steps: lr 1 * 3/16, kind 1/4 * 1/4, so 3 : 1.
    assert found["lr"] == pytest.approx(0.75, abs=0.1)
    assert found["kind"] == pytest.approx(0.25, abs=0.1)


def _mentions(found: Importance, *parts: str) -> bool:
    return any(all(part in text for part in parts) for text in found.warnings)


def test_few_trials_are_warned_about() -> None:
    assert _mentions(_importance(_trials(19)), "Only 19 finished trials for 4 hyperparameters")
    assert not _mentions(_importance(_trials(20)), "Only")


def test_more_hyperparameters_need_more_trials() -> None:
    wide = {f"x{i}": distribution_to_json(FloatDistribution(0, 1)) for i in range(7)}
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.random(27) for name in wide})
    frame["psnr"], frame["status"] = frame["x0"], "finished"
    assert _mentions(_importance(frame, distributions=wide), "Only 27", "under 28")


def _with_pruned(count: int, epochs: list[int]) -> pd.DataFrame:
    frame = _trials(40 + count)
    frame["epochs"] = 20
    frame.loc[40:, "status"] = "pruned"
    frame.loc[40:, "epochs"] = epochs
    frame.loc[40:, "psnr"] = 99.0
    return frame


def test_many_trials_pruned_at_unequal_budgets_are_warned_about_and_left_out() -> None:
    found = _importance(_with_pruned(20, [2] * 10 + [9] * 10), budget="epochs")
    assert found.trials == 40
    assert _mentions(found, "20 of 60 trials were pruned after 2 to 9 epochs")


def test_few_pruned_trials_or_equal_budgets_need_no_warning() -> None:
    assert not _mentions(_importance(_with_pruned(5, [2] * 5), budget="epochs"), "pruned")
    assert not _mentions(_importance(_with_pruned(20, [20] * 20), budget="epochs"), "pruned")


def test_methods_that_disagree_are_reported() -> None:
    # `unused` decides which trials are the best tenth, lr makes nearly all of the variance.
    frame = _trials(200)
    frame["psnr"] = np.where(frame["lr"] > 1e-2, -100.0, 0.0) + (frame["unused"] > 0.8)
    assert _mentions(_importance(frame), "disagree on what mattered most", "unused", "lr")


def test_failed_and_unscored_trials_do_not_count() -> None:
    frame = _trials(30)
    frame.loc[:4, "status"] = "failed"
    frame.loc[5:9, "psnr"] = math.nan
    assert _importance(frame).trials == 20


def test_a_trial_outside_the_searched_range_is_left_out_and_counted() -> None:
    frame = _trials(30)
    frame.loc[0, "lr"] = 0.5
    found = _importance(frame)
    assert found.trials == 29
    assert _mentions(found, "1 finished trials lie outside the searched ranges")


def test_a_hyperparameter_that_only_some_trials_have_is_assessed_on_these() -> None:
    frame = _trials(80)
    frame["unused"] = frame["unused"].where(frame["kind"] == "conv_vae")
    found = _importance(frame)
    assert found.trials == 80
    assert found.parameters[0].name == "lr"
    complete = int((frame["kind"] == "conv_vae").sum())
    assert _mentions(found, f"fANOVA sees only the {complete} of 80 trials")


def test_a_forest_without_a_complete_trial_gives_no_figures() -> None:
    frame = _trials(40)
    frame.loc[3:, "unused"] = None
    found = _importance(frame)
    assert _mentions(found, "fANOVA sees only the 3 of 40 trials", "too few for it")
    assert all(math.isnan(each.fanova) for each in found.parameters)
    assert found.parameters[0].name == "lr"
    assert math.isnan(found.agreement)
    assert not _mentions(found, "disagree")


def test_a_single_hyperparameter_has_nothing_to_disagree_on() -> None:
    found = _importance(_trials(40), distributions={"lr": DISTRIBUTIONS["lr"]})
    assert [(each.name, each.ped_anova, each.fanova) for each in found.parameters] == [("lr", 1, 1)]
    assert found.warnings == ()


def test_methods_that_agree_on_the_first_only_are_reported() -> None:
    shares = {"lr": (0.6, 0.7), "beta": (0.3, 0.0), "kind": (0.1, 0.3)}
    parameters = [ParameterImportance(name, *each, 0.01) for name, each in shares.items()]
    (text,) = _doubts(parameters, agreement=0.33)
    assert text.startswith("The methods agree on lr and rank the others differently")
    assert _doubts(parameters, agreement=0.5) == []


@pytest.mark.parametrize("count", [0, 1, 4])
def test_hardly_any_trial_gives_no_figures_and_says_why(count: int) -> None:
    found = _importance(_trials(4).head(count))
    assert all(math.isnan(each.mean) and not each.above_chance for each in found.parameters)
    assert _mentions(found, "No importance is computed from fewer than 5")


def test_equal_scores_give_no_figures_and_say_why() -> None:
    frame = _trials(30)
    frame["psnr"] = 18.0
    assert _mentions(_importance(frame), "every finished trial has the same score")


def test_a_study_that_searched_nothing_says_so() -> None:
    found = _importance(_trials(30), distributions={})
    assert found.parameters == ()
    assert _mentions(found, "no hyperparameter was searched")


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"no column \['lr'\]"):
        _importance(_trials(30).drop(columns="lr"))


def test_many_trials_are_drawn_from_and_that_is_said() -> None:
    found = _importance(_trials(300))
    assert found.trials == 300
    assert _mentions(found, "fANOVA is computed on 256 of 300 trials, drawn at random")
    assert not _mentions(found, "PED-ANOVA is computed")


def test_warnings_of_others_are_issued_again_and_not_printed_as_findings() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet_optuna() as heard:
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            warnings.warn("for the reader", UserWarning, stacklevel=1)
    assert heard == ["for the reader"]
    assert [str(each.message) for each in caught] == ["old"]


def test_optuna_stays_as_it_was_and_says_nothing_itself(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _importance(_trials(30))
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr().err == ""
