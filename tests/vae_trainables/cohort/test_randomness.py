"""Every slot draws what its trial draws alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.vae_trainables.cohort.support import config, small_data
from tests.vae_trainables.without_card import interpreted
from vae_trainables.cohort.fusion import step_terms
from vae_trainables.cohort.randomness import (
    CounterRandomness,
    KernelRandomness,
    KeyedRandomness,
    Randomness,
)
from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.config import TrialConfig
from vae_trainables.numerics.streams import Streams
from vae_trainables.training.trial import Trial, add_noise, binarised

SLOTS, WIDEST, B = 4, 9, 6


def trials(backend: Any, **settings: Any) -> dict[int, Trial]:
    """Slot 1 is empty."""
    seated = {}
    for slot, (width, epoch) in {0: (9, 0), 2: (5, 3), 3: (1, 1)}.items():
        trial = Trial(config(latent_dim=width, seed=slot, **settings), small_data())
        trial.streams = Streams(slot, trial.device, backend)
        trial.epoch = epoch
        seated[slot] = trial
    return seated


def randomness(backend: Any, seated: dict[int, Trial]) -> Randomness:
    shared: TrialConfig = seated[0].config
    vectors = SlotVectors(SLOTS, latent_dim=WIDEST, steps=4, device=torch.device("cpu"))
    for slot, trial in seated.items():
        vectors.fill(slot, trial.config, trial.noise_dim)
    if backend == "counter":
        return CounterRandomness(shared, step_terms(shared), vectors)
    return KeyedRandomness(vectors.latent_mask)


@pytest.mark.parametrize("backend", ["counter", "generator"])
def test_latent_noise_is_the_trials_own_in_its_own_width(backend: str) -> None:
    seated = trials(backend)
    drawn = randomness(backend, seated)
    drawn.begin_epoch(seated, 8)
    for i in range(3):
        eps = drawn.latent(B)
        assert eps.shape == (SLOTS, B, WIDEST)
        assert not eps[1].any()
        for slot, trial in seated.items():
            step = trial.epoch * trial.steps_per_epoch + i
            own = trial.streams.normal("latent", step, (B, trial.noise_dim))
            assert torch.equal(eps[slot, :, : trial.noise_dim], own)
            assert not eps[slot, :, trial.noise_dim :].any()
        drawn.advance()


@pytest.mark.parametrize("backend", ["counter", "generator"])
@pytest.mark.parametrize("top", [None, 0.7])
@pytest.mark.parametrize("kind", ["gaussian", "salt_pepper", "masking", "poisson"])
def test_input_noise_is_the_trials_own(kind: str, top: float | None, backend: str) -> None:
    settings = {"noise_kind": kind, "noise_factor": 0.25, "noise_factor_max": top}
    seated = trials(backend, **settings)
    drawn = randomness(backend, seated)
    drawn.begin_epoch(seated, 8)
    drawn.advance()
    clean = torch.rand(SLOTS, B, 1, 28, 28)
    noisy = drawn.noisy(clean)
    for slot, trial in seated.items():
        step = trial.epoch * trial.steps_per_epoch + 1
        own = add_noise(clean[slot], trial.config, trial.streams, step)
        torch.testing.assert_close(noisy[slot], own, rtol=0, atol=2e-6)
        assert not torch.equal(own, clean[slot])


@pytest.mark.parametrize("backend", ["counter", "generator"])
def test_without_noise_the_input_is_clean(backend: str) -> None:
    seated = trials(backend)
    drawn = randomness(backend, seated)
    drawn.begin_epoch(seated, 8)
    clean = torch.rand(SLOTS, B, 1, 28, 28)
    assert torch.equal(drawn.noisy(clean), clean)


@pytest.mark.parametrize("backend", ["counter", "generator"])
@pytest.mark.parametrize("how", ["none", "dynamic"])
def test_black_and_white_pixels_are_the_trials_own(how: str, backend: str) -> None:
    seated = trials(backend, binarise=how)
    drawn = randomness(backend, seated)
    drawn.begin_epoch(seated, 8)
    drawn.advance()
    grey = torch.rand(SLOTS, B, 1, 28, 28)
    clean = drawn.clean(grey)
    for slot, trial in seated.items():
        step = trial.epoch * trial.steps_per_epoch + 1
        assert torch.equal(clean[slot], binarised(grey[slot], trial.config, trial.streams, step))
        assert torch.equal(clean[slot], grey[slot]) == (how == "none")


@pytest.mark.parametrize("backend", ["counter", "generator"])
def test_shuffles_are_those_of_the_trials_present_epochs(backend: str) -> None:
    seated = trials(backend)
    orders = randomness(backend, seated).begin_epoch(seated, 50)
    for slot, trial in seated.items():
        assert torch.equal(orders[slot], trial.streams.permutation(trial.epoch, 50))
    assert torch.equal(orders[1].sort().values, torch.arange(50))


@pytest.mark.parametrize("top", [None, 0.7])
@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_kernels_draw_the_same_numbers(kind: str, top: float | None) -> None:
    settings = {"noise_kind": kind, "noise_factor": 0.25, "noise_factor_max": top}
    seated = trials("counter", **settings)
    plain, shared = randomness("counter", seated), seated[0].config
    assert isinstance(plain, CounterRandomness)
    fast = KernelRandomness(shared, step_terms(shared), plain.vectors, interpreted())
    clean = torch.rand(SLOTS, B, 1, 28, 28)
    for drawn in (plain, fast):
        drawn.begin_epoch(seated, 8)
        drawn.advance()
    torch.testing.assert_close(fast.noisy(clean), plain.noisy(clean), rtol=1e-6, atol=2e-6)
    torch.testing.assert_close(fast.latent(B), plain.latent(B), rtol=1e-6, atol=1e-6)
