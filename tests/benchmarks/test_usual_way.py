"""The opponent must train the same networks on the same figures."""

from __future__ import annotations

import pytest
import torch

from benchmarks import usual_way
from vae_trainables import models
from vae_trainables.config import ModelConfig


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_the_usual_models_have_this_projects_parameters(kind: str) -> None:
    ours = models.build(ModelConfig(kind=kind, latent_dim=16))
    usual = usual_way.build(kind, 16)
    counts = [sum(p.numel() for p in model.parameters()) for model in (ours, usual)]
    assert counts[0] == counts[1]
    recon, kl, mse = usual_way.losses(usual, torch.rand(5, 1, 28, 28))
    assert 400 < recon < 700  # 784 ln 2 of a network that knows nothing
    assert kl >= 0
    assert 0 < mse < 1
