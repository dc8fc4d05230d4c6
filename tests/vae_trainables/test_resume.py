"""A resumed trial against one that was never interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vae_trainables.config import ModelKind, TrialConfig
from vae_trainables.datasets import Split
from vae_trainables.train import Trial, TrialData


def random_split(count: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=generator)
    return Split(images, torch.arange(count) % 10)


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_resuming_continues_bit_for_bit(kind: ModelKind, tmp_path: Path) -> None:
    """The convolutions' weights are channels_last, and so must their Adam moments be again."""
    data = TrialData(random_split(128, 0), random_split(32, 1))
    config = TrialConfig(
        kind=kind, hidden=(32,), widths=(8, 8), latent_dim=4, batch_size=32, epochs=3
    )
    whole, first, second = (Trial(config, data) for _ in range(3))
    whole.run_epoch()
    whole.run_epoch()
    first.run_epoch()
    first.save(tmp_path)
    assert second.resume(tmp_path) == []
    second.run_epoch()
    expected, found = whole.state()[0], second.state()[0]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
