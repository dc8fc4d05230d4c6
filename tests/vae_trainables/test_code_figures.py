"""What the evaluation says of codes: SupCon on fixed batches, only where it is trained with."""

from __future__ import annotations

import pytest
import torch

from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.evaluation.evaluator import SUPCON_BATCH, Evaluator
from vae_trainables.objective import losses

CONTRAST = TrialConfig(supcon_gamma=1.0, supcon_temperature=0.3)


def evaluator(count: int) -> tuple[Evaluator, torch.Tensor, torch.Tensor]:
    """With `count` validation labels, and codes for them."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (count,), generator=generator)
    split = Split(torch.zeros(count, 1, 28, 28, dtype=torch.uint8), labels)
    z_mean = torch.randn(count, 6, generator=generator)
    return Evaluator(TrialData(split, split), torch.device("cpu")), z_mean, labels


@pytest.mark.parametrize("count", [40, SUPCON_BATCH, 2 * SUPCON_BATCH + 17])
def test_supcon_is_the_mean_over_whole_batches_in_order(count: int) -> None:
    judge, z_mean, labels = evaluator(count)
    found = judge.code_figures(z_mean, CONTRAST, "val")["supcon"]
    size = min(count, SUPCON_BATCH)
    parts = [slice(i, i + size) for i in range(0, count - size + 1, size)]
    expected = [losses.supcon(z_mean[p], labels[p], 0.3).item() for p in parts]
    assert found == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_a_trial_without_supcon_is_not_charged_for_it() -> None:
    judge, z_mean, _ = evaluator(300)
    assert judge.code_figures(z_mean, TrialConfig(), "val").keys() == {"active_units"}


def test_padded_latent_dimensions_change_nothing() -> None:
    """A cohort hands over codes as wide as its widest member's, the rest zeros."""
    judge, z_mean, _ = evaluator(SUPCON_BATCH)
    wide = torch.nn.functional.pad(z_mean, (0, 10))
    narrow, padded = (judge.code_figures(z, CONTRAST, "val")["supcon"] for z in (z_mean, wide))
    assert padded == pytest.approx(narrow, rel=1e-6)
