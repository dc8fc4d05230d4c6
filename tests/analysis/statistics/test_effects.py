"""Marginal effects and interactions on tables that can be averaged by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json

from analysis.statistics.effects import interaction, marginal_effect

DISTRIBUTIONS = {
    "lr": distribution_to_json(FloatDistribution(1e-4, 1e-2, log=True)),
    "kind": distribution_to_json(CategoricalDistribution(["conv", "mlp", "never"])),
}


def _trials(count: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "lr": 10 ** rng.uniform(-4, -2, count),
            "kind": rng.choice(["conv", "mlp"], count),
            "psnr": rng.normal(18, 1, count),
            "status": "finished",
        }
    )


def test_each_bin_has_the_mean_and_median_of_its_trials() -> None:
    frame = _trials()
    found = marginal_effect(frame, "lr", "psnr", DISTRIBUTIONS, bins=2)
    below = frame[frame["lr"] < 1e-3]["psnr"]
    above = frame[frame["lr"] >= 1e-3]["psnr"]
    assert found.log
    assert [each.n for each in found.bins] == [len(below), len(above)]
    for binned, expected in zip(found.bins, (below, above), strict=True):
        assert binned.mean[0] == pytest.approx(expected.mean())
        assert binned.median[0] == pytest.approx(expected.median())
        assert binned.mean[1] < binned.mean[0] < binned.mean[2]
        assert binned.median[1] <= binned.median[0] <= binned.median[2]


def test_a_category_that_never_ran_has_an_empty_bin() -> None:
    found = marginal_effect(_trials(), "kind", "psnr", DISTRIBUTIONS)
    assert [each.bin.label for each in found.bins] == ["conv", "mlp", "never"]
    assert found.bins[2].n == 0
    assert math.isnan(found.bins[2].mean[0])
    assert not found.log


def test_a_bin_of_few_trials_has_no_interval() -> None:
    frame = _trials(7)
    frame["kind"] = ["conv"] * 4 + ["mlp"] * 3
    found = marginal_effect(frame, "kind", "psnr", DISTRIBUTIONS)
    assert math.isnan(found.bins[0].mean[1])
    assert not math.isnan(found.bins[0].mean[0])
    assert "Only 7 finished trials" in found.warnings[0]


def test_pruned_trials_are_left_out_with_a_warning() -> None:
    frame = _trials()
    frame["epochs"] = 20
    frame.loc[30:, ["status", "psnr", "epochs"]] = ["pruned", -99.0, 3]
    frame.loc[31, "epochs"] = 7
    found = marginal_effect(frame, "kind", "psnr", DISTRIBUTIONS, budget="epochs")
    assert sum(each.n for each in found.bins) == 30
    assert any("pruned after 3 to 7 epochs" in text for text in found.warnings)


def test_the_interval_of_a_bin_covers_its_true_mean() -> None:
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({"kind": ["conv"] * 30, "psnr": rng.normal(18, 1, 30)})
        frame["status"] = "finished"
        kinds = {"kind": DISTRIBUTIONS["kind"]}
        mean = marginal_effect(frame, "kind", "psnr", kinds, seed=seed).bins[0].mean
        covered.append(mean[1] <= 18 <= mean[2])
    assert 0.88 <= np.mean(covered) <= 0.98


def test_what_was_not_searched_is_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"'beta' was not searched; searched were \['lr', 'kind'\]"
    ):
        marginal_effect(_trials(), "beta", "psnr", DISTRIBUTIONS)


def test_the_grid_has_the_mean_and_count_of_every_cell() -> None:
    frame = _trials()
    found = interaction(frame, "lr", "kind", "psnr", DISTRIBUTIONS, bins=2)
    assert [each.label for each in found.columns] == ["conv", "mlp", "never"]
    for row, part in enumerate((frame["lr"] < 1e-3, frame["lr"] >= 1e-3)):
        for column, kind in enumerate(("conv", "mlp")):
            cell = frame[part & (frame["kind"] == kind)]["psnr"]
            assert found.counts[row][column] == len(cell)
            assert found.means[row][column] == pytest.approx(cell.mean())
        assert found.counts[row][2] == 0
        assert math.isnan(found.means[row][2])


def test_trials_without_one_of_the_two_are_no_part_of_the_grid() -> None:
    frame = _trials()
    frame.loc[:9, "kind"] = None
    found = interaction(frame, "lr", "kind", "psnr", DISTRIBUTIONS)
    assert sum(map(sum, found.counts)) == 50


def test_a_study_without_a_finished_trial_has_empty_bins() -> None:
    frame = _trials().assign(status="running")
    assert all(each.n == 0 for each in marginal_effect(frame, "kind", "psnr", DISTRIBUTIONS).bins)
    assert interaction(frame, "lr", "kind", "psnr", DISTRIBUTIONS).rows == ()
