"""Slots of other widths, terms and likelihoods in one cohort: each is its trial alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vae_trainables.cohort.support import comparable, config, run_cohort, small_data, solo
from vae_trainables.cohort import Cohort, Ways, fusion_key
from vae_trainables.config import TrialConfig

MIXED: dict[str, list[dict[str, Any]]] = {
    "widths": [{"width": 0.5}, {"width": 1.5}, {"width": 1.0}],
    "layers": [
        {"hidden": (40, 70), "widths": (6, 20)},
        {"hidden": (80, 30), "widths": (16, 9)},
    ],
    "reconstruction": [{"recon_term": "mse"}, {"recon_term": "l1"}, {"recon_term": "nll"}],
    "likelihoods": [
        {"likelihood": "sigma"},
        {"likelihood": "continuous_bernoulli", "edge_weight": 0.1},
        {"likelihood": "gaussian", "gaussian_std": 0.4},
        {"likelihood": "bernoulli", "ssim_weight": 3.0},
    ],
    "terms": [
        {"supcon_gamma": 3.0},
        {"free_bits": 0.1, "kl_target": 3.0},
        {"ssim_weight": 5.0, "edge_weight": 0.2},
        {"kl_target": 0.0},
    ],
    "all": [
        {"width": 0.5, "latent_dim": 3, "recon_term": "l1", "noise_factor_max": 0.6},
        {"width": 1.5, "latent_dim": 9, "supcon_gamma": 1.0, "likelihood": "sigma"},
        {"latent_dim": 12, "free_bits": 0.2, "ssim_weight": 2.0, "recon_term": "mse"},
    ],
}


def mixed(kind: str, settings: list[dict[str, Any]]) -> list[TrialConfig]:
    """Small learning rates: Adam's first steps are as long where a gradient is near 0, and rounding
    then decides on their signs."""
    return [
        config(kind, seed=i, noise_factor=0.1 * (i + 1), lr=1e-4 * (i + 1), **one)
        for i, one in enumerate(settings)
    ]


@pytest.mark.parametrize("settings", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_members_that_differ_have_their_solo_trials_figures(
    kind: str, settings: list[dict[str, Any]], tmp_path: Path
) -> None:
    configs = dict(enumerate(mixed(kind, settings)))
    assert len({fusion_key(chosen) for chosen in configs.values()}) == 1
    run = run_cohort(configs, tmp_path, slots=len(configs) + 1, epochs=2)  # one stays empty
    for slot, chosen in configs.items():
        for record, entry in zip(run.records[slot], solo(chosen, epochs=2).history, strict=True):
            expected = comparable(entry["metrics"])
            assert comparable(record.metrics) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_what_a_narrow_trial_lacks_stays_exactly_zero(kind: str, tmp_path: Path) -> None:
    both = {"optimizer": "adamw", "weight_decay": 0.1, "lr": 1e-2}
    configs = {i: config(kind, width=width, **both) for i, width in enumerate((0.5, 1.5))}
    run = run_cohort(configs, tmp_path, slots=2, epochs=1, ways=Ways(adam="flat"))
    own = run.members[0].model
    for buffer in (run.cohort.bank.flat, run.cohort.bank.exp_avg, run.cohort.bank.exp_avg_sq):
        views = run.cohort.bank.stacked(buffer)
        for whole, parameter in zip(views, own.parameters(), strict=True):
            corner = tuple(map(slice, parameter.shape))
            inside = whole[0][corner].count_nonzero()
            assert whole[0].count_nonzero() == inside
            assert inside > 0


def test_a_cohort_offers_what_its_study_suggests_and_no_more() -> None:
    like = (config(width=1.5), config(supcon_gamma=1.0), config(latent_dim=20))
    cohort = Cohort(config(), small_data(), slots=2, like=like)
    assert cohort.accepts(config(width=1.5, latent_dim=20, supcon_gamma=3.0))
    assert cohort.accepts(config(width=0.5))
    assert not cohort.accepts(config(width=2.0))
    assert not cohort.accepts(config(ssim_weight=1.0))
    assert not cohort.accepts(config(hidden=(48, 48)))
