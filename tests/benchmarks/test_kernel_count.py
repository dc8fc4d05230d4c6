"""The count of kernels, and what a study makes of them."""

from __future__ import annotations

import argparse
from unittest import mock

import pytest

from benchmarks import kernel_count
from benchmarks.kernel_count import FAMILIES, simulated, step_kernels
from vae_trainables.config import TrialConfig

OPTIONS = argparse.Namespace(epochs=9, trials=24, images=256, workers=3, slots=8)


@pytest.mark.parametrize(("family", "most"), [("MLP VAE (R3)", 60), ("ConvVAE (R1)", 90)])
def test_a_step_stays_within_its_kernels(family: str, most: int) -> None:
    config = TrialConfig(**FAMILIES[family], noise_factor=0.45, batch_size=128)
    assert sum(step_kernels(config).fused.values()) <= most


def test_a_simulated_study_trains_every_trial_to_its_end_and_gathers_them() -> None:
    tally = simulated("vae_vs_ae", OPTIONS)
    assert tally.moves > 0
    epochs = sum(kernel_count.length(i, OPTIONS.epochs) for i in range(OPTIONS.trials))
    assert tally.images == epochs * OPTIONS.images
    with mock.patch.object(kernel_count, "moved", return_value=0):
        apart = simulated("vae_vs_ae", OPTIONS)
    assert apart.images == tally.images
    assert apart.kernels > tally.kernels
