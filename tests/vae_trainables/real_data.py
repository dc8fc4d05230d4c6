"""Real data for slow tests, if this machine has it; nothing is downloaded."""

from __future__ import annotations

import pytest

from vae_trainables import datasets
from vae_trainables.datasets.splits import Split


def fashion_mnist(split: str) -> Split:
    """A split of Fashion-MNIST; skips the test where it is not installed."""
    try:
        datasets.check("fashion-mnist")
    except datasets.DataError as error:
        pytest.skip(f"Fashion-MNIST is not on this machine: {error}")
    return datasets.load("fashion-mnist", split)
