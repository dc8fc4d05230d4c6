"""The streams: same key, same numbers, whatever was drawn before."""

from __future__ import annotations

import pytest
import torch

from vae_trainables.numerics.streams import Backend, Streams, default_backend

CPU = torch.device("cpu")
BACKENDS: list[Backend] = ["generator", "counter"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_draw_depends_on_its_key_alone(backend: Backend) -> None:
    fresh, used = Streams(3, CPU, backend), Streams(3, CPU, backend)
    used.uniform("noise", 4, (100,))
    used.permutation(0, 50)
    assert torch.equal(fresh.normal("latent", 5, (8, 3)), used.normal("latent", 5, (8, 3)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_seed_stream_and_step_each_change_the_numbers(backend: Backend) -> None:
    base = Streams(3, CPU, backend).normal("latent", 5, (64,))
    for seed, stream, step in ((4, "latent", 5), (3, "noise", 5), (3, "latent", 6)):
        other = Streams(seed, CPU, backend).normal(stream, step, (64,))  # type: ignore[arg-type]
        assert not torch.equal(base, other)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_permutation_holds_every_index_once_and_changes_with_the_epoch(backend: Backend) -> None:
    streams = Streams(0, CPU, backend)
    first, second = streams.permutation(0, 100), streams.permutation(1, 100)
    assert torch.equal(first.sort().values, torch.arange(100))
    assert not torch.equal(first, second)


def test_a_gpu_counts_and_a_cpu_seeds_generators() -> None:
    assert default_backend(torch.device("cuda")) == "counter"
    assert default_backend(CPU) == "generator"
    assert Streams(0, CPU).backend == "generator"


def test_the_cpu_numbers_stay_what_they_were() -> None:
    """Other numbers would break the resuming of trials begun with an earlier version."""
    drawn = Streams(7, CPU).normal("noise", 11, (3,))
    expected = torch.tensor([1.924387812614441, 1.1585750579833984, -0.9210344552993774])
    torch.testing.assert_close(drawn, expected)
