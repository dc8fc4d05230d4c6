"""The computed limit rests on counts that can be done by hand."""

from __future__ import annotations

import pytest

from benchmarks import limit, measuring


def test_operations_of_the_mlp_are_three_products_per_weight() -> None:
    """Forward, weight gradient, input gradient; the pixels need no gradient."""
    weights = [784 * 400, 400 * 20, 400 * 20, 20 * 400, 400 * 784]
    by_hand = 2 * (3 * sum(weights) - weights[0])
    assert limit.operations(measuring.workload("mlp")) == by_hand == 3.28e6


def test_operations_of_the_convolutional_vae_are_those_of_its_layers() -> None:
    down = [16 * 32 * 14**2, 16 * 32 * 64 * 7**2, 16 * 64 * 128 * 3**2]
    # A transposed convolution spends its kernel on every input pixel.
    up = [16 * 128 * 64 * 3**2, 16 * 64 * 32 * 7**2, 16 * 32 * 14**2]
    linear = [1152 * 16] * 3
    by_hand = 2 * (3 * sum(down + up + linear) - down[0])
    assert limit.operations(measuring.workload("conv")) == pytest.approx(by_hand)


def test_activations_are_the_layers_outputs() -> None:
    assert limit.activations(measuring.workload("mlp")) == 400 + 20 + 20 + 400 + 784
    sides = 32 * 14**2 + 64 * 7**2 + 128 * 3**2
    down, up = sides + 2 * 16, 1152 + 64 * 7**2 + 32 * 14**2 + 28**2
    assert limit.activations(measuring.workload("conv")) == down + up


def test_bytes_share_a_steps_weights_among_its_images() -> None:
    weights = 784 * 400 + 400 + 2 * (400 * 20 + 20) + 20 * 400 + 400 + 400 * 784 + 784
    by_hand = weights * 40 / 128 + 1624 * 20 + 784
    assert limit.bytes_per_image(measuring.workload("mlp")) == by_hand


def test_contestants_take_turns_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []

    def contestant(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    figures = measuring.interleaved(
        {"a": lambda: contestant("a"), "b": lambda: contestant("b")}, rounds=2
    )
    assert turns == ["a", "b"] * 3
    assert figures == {"a": [3, 5], "b": [4, 6]}
    assert measuring.ratios(figures, "a") == {"a": 1, "b": pytest.approx((4 / 3 + 6 / 5) / 2)}
