"""Walks between codes: their ends, their lengths, and what has no direction to turn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.gallery import interpolation
from analysis.gallery.interpolation import STEPS, WALKS, linear, spherical
from analysis.gallery.subject import Subject
from vae_trainables.config import TrialConfig


def codes(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, 16)).astype(np.float32)


@pytest.mark.parametrize("kind", WALKS)
def test_a_walk_begins_and_ends_at_the_codes(kind: str) -> None:
    first, second = codes(0)
    found = WALKS[kind](first, second)
    assert found.shape == (STEPS, 16)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[[0, -1]], [first, second], atol=1e-6)


def test_the_spherical_walk_stays_on_the_sphere_and_the_line_does_not() -> None:
    first, second = codes(1)
    second *= np.linalg.norm(first) / np.linalg.norm(second)
    radius = np.linalg.norm(first)
    np.testing.assert_allclose(np.linalg.norm(spherical(first, second), axis=1), radius, rtol=1e-5)
    assert np.linalg.norm(linear(first, second), axis=1).min() < 0.95 * radius


def test_the_spherical_walk_turns_by_equal_angles() -> None:
    first, second = np.eye(3, dtype=np.float32)[:2]
    found = spherical(first, second, steps=4)
    angles = np.arctan2(found[:, 1], found[:, 0])
    np.testing.assert_allclose(angles, np.linspace(0, np.pi / 2, 4), atol=1e-6)


@pytest.mark.parametrize(
    ("first", "second"),
    [([1, 0], [3, 0]), ([1, 0], [-1, 0]), ([0, 0], [1, 2]), ([0, 0], [0, 0])],
    ids=["parallel", "opposite", "zero to code", "zero to zero"],
)
def test_codes_without_an_angle_between_them_are_joined_straight(
    first: list[float], second: list[float]
) -> None:
    ends = np.array([first, second], np.float32)
    found = spherical(*ends)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, linear(*ends), atol=1e-6)


def test_a_walk_shows_the_originals_at_its_ends(make_subject: Callable[..., Subject]) -> None:
    subject = make_subject(TrialConfig(kind="mlp_vae", hidden=(8,), latent_dim=3))
    found = interpolation.walk(subject, (4, 9), "linear")
    assert found.images.shape == (STEPS + 2, 1, 28, 28)
    np.testing.assert_array_equal(found.images[0], subject.clean[4])
    np.testing.assert_array_equal(found.images[-1], subject.clean[9])
    ends = subject.trained.decode(subject.codes[[4, 9]])
    np.testing.assert_allclose(found.images[[1, -2]], ends, atol=1e-5)
