"""Which configurations share a cohort."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vae_trainables.cohort.support import config, varied
from vae_trainables.cohort.fusion import PER_SLOT, extent, fusion_key
from vae_trainables.config import SETTINGS, TrialConfig

APART: list[dict[str, Any]] = [
    {"kind": "conv_vae"},
    {"hidden": (64, 32)},
    {"batch_size": 32},
    {"train_size": 100},
    {"dataset": "mnist"},
    {"binarise": "dynamic"},
    {"iw_images": 9},
    {"optimizer": "adamw"},
    {"noise_factor": 0.2},
    {"eval_noise_factor": 0.1},
    {"evaluations": ("probe",)},
    {"threads": 2},
]

OFFERED: list[dict[str, Any]] = [
    {"latent_dim": 17},
    {"hidden": (500,)},
    {"width": 2.0},
    {"likelihood": "sigma"},
    {"recon_term": "mse"},
    {"ssim_weight": 1.0},
    {"edge_weight": 1.0},
    {"free_bits": 0.1},
    {"kl_target": 0.0},
    {"supcon_gamma": 1.0},
]


def test_settings_per_slot_do_not_part() -> None:
    assert len({fusion_key(chosen) for chosen in varied()}) == 1
    widths = {fusion_key(config(latent_dim=width)) for width in (2, 8, 64)}
    assert len(widths) == 1


@pytest.mark.parametrize("change", OFFERED, ids=lambda change: next(iter(change)))
def test_sizes_and_terms_do_not_part_but_must_be_offered(change: dict[str, Any]) -> None:
    base, other = TrialConfig(kind="mlp_vae"), TrialConfig(**{"kind": "mlp_vae", **change})
    assert fusion_key(base) == fusion_key(other)
    assert extent(base).lacks(extent(other))
    assert extent(base, [other]).lacks(extent(other)) == []
    assert extent(base, [other]).lacks(extent(base)) == []


@pytest.mark.parametrize("change", APART, ids=lambda change: next(iter(change)))
def test_settings_that_shape_the_graph_part(change: dict[str, Any]) -> None:
    base = TrialConfig(kind="mlp_vae")
    assert fusion_key(base) != fusion_key(TrialConfig(**{"kind": "mlp_vae", **change}))


def test_noise_parts_by_presence_and_kind_only() -> None:
    noisy = fusion_key(config(noise_factor=0.1))
    assert noisy == fusion_key(config(noise_factor=0.7))
    assert noisy != fusion_key(config(noise_factor=0.1, noise_kind="masking"))
    assert noisy == fusion_key(config(noise_factor=0.1, noise_factor_max=0.2))
    assert fusion_key(config()) == fusion_key(config(noise_kind="masking"))
    assert extent(config(noise_factor_max=0.2)).terms == {"noise", "noise_range"}


def test_settings_without_effect_do_not_part() -> None:
    assert fusion_key(config("mlp_vae", widths=(1, 2))) == fusion_key(config("mlp_vae"))
    assert fusion_key(config("conv_vae", hidden=(9,), blocks=5)) == fusion_key(config("conv_vae"))
    assert fusion_key(config(gaussian_std=0.5)) == fusion_key(config())
    halves = fusion_key(config(hidden=(24,), width=2.0))
    assert halves == fusion_key(config(hidden=(48,)))


def test_kinds_without_stacked_kernels_are_not_padded() -> None:
    key = fusion_key(config("res_conv_vae"))
    assert key.fusible
    assert key == fusion_key(config("res_conv_vae", lr=0.1, seed=4))
    assert key != fusion_key(config("res_conv_vae", latent_dim=3))
    assert key != fusion_key(config("res_conv_vae", blocks=1))
    assert key != fusion_key(config("res_conv_vae", width=0.5))


def test_per_slot_settings_exist() -> None:
    assert set(SETTINGS) >= PER_SLOT


SHARED = {
    "batch_size", "binarise", "blocks", "iw_images", "iw_samples",
    "channels", "dataset", "eval_noise_factor", "eval_noise_kind",
    "class_source", "evaluations", "hidden", "image_size", "kind", "noise_kind", "num_classes",
    "optimizer", "precision", "threads", "train_size", "width", "widths",
}  # fmt: skip


def test_a_new_setting_is_not_forgotten_in_cohorts() -> None:
    """Declare it as a loss term's setting, or teach the step what it means, then name it here."""
    assert set(SETTINGS) == PER_SLOT | SHARED
