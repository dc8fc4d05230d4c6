"""The stacked loss against `losses.objective`, slot by slot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_trainables.cohort.support import config
from vae_trainables.cohort.fusion import loss_names
from vae_trainables.cohort.objective import StackedObjective
from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.config import TrialConfig
from vae_trainables.models import ModelOutput
from vae_trainables.models.gaussians import kl_divergence
from vae_trainables.objective import losses
from vae_trainables.objective.losses import LossTerms

SLOTS, B, D = 3, 8, 6
ALL: dict[str, Any] = {
    "supcon_gamma": 3.0,
    "supcon_temperature": 0.3,
    "free_bits": 0.2,
    "kl_target": 2.0,
    "ssim_weight": 5.0,
    "edge_weight": 0.3,
}


def configs(**settings: Any) -> list[TrialConfig]:
    """Every weight that is on differs from slot to slot."""
    return [
        config(**{k: v * (slot + 1) if isinstance(v, float) else v for k, v in settings.items()})
        for slot in range(SLOTS)
    ]


def leaves() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(SLOTS, B, 1, 28, 28), (SLOTS, B, D), (SLOTS, B, D)]
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def output(logits: Tensor, z_mean: Tensor, z_logvar: Tensor) -> ModelOutput:
    return ModelOutput(logits, z_mean, z_logvar, kl_divergence(z_mean, z_logvar))


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(SLOTS, B, 1, 28, 28, generator=generator)
    return clean, torch.arange(SLOTS * B).view(SLOTS, B) % 3


def stacked(chosen: list[TrialConfig], found: ModelOutput, beta: Tensor) -> LossTerms:
    return StackedObjective(filled(chosen, D))(found, *images(), beta)


def filled(chosen: list[TrialConfig], latent_dim: int) -> SlotVectors:
    names = frozenset[str]().union(*map(loss_names, chosen))
    vectors = SlotVectors(
        SLOTS, latent_dim=latent_dim, steps=1, device=torch.device("cpu"), names=names
    )
    for slot, one in enumerate(chosen):
        vectors.fill(slot, one, D)
    return vectors


def figures(terms: LossTerms) -> list[Tensor]:
    return [terms.loss, *terms.values.values()]


SETTINGS: list[dict[str, Any]] = [
    {},
    ALL,
    *({name: value} for name, value in ALL.items() if name != "supcon_temperature"),
    {"recon_term": "mse"},
    {"recon_term": "l1", "edge_weight": 0.5},
    {"likelihood": "gaussian"},
    {"likelihood": "continuous_bernoulli"},
    {"likelihood": "sigma", **ALL},
    {"kind": "mlp_ae", "supcon_gamma": 2.0},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings) or "plain")
def test_terms_and_gradients_are_those_of_each_slot_alone(settings: dict[str, Any]) -> None:
    chosen, inputs, (clean, labels) = configs(**settings), leaves(), images()
    beta = torch.tensor([1.0, 0.5, 4.0])
    terms = stacked(chosen, output(*inputs), beta)
    found = torch.autograd.grad(terms.loss.sum(), inputs, allow_unused=True)
    for slot, one in enumerate(chosen):
        own = [leaf[slot].detach().requires_grad_() for leaf in inputs]
        alone = losses.objective(output(*own), clean[slot], labels[slot], one, float(beta[slot]))
        for mine, theirs in zip(figures(terms), figures(alone), strict=True):
            torch.testing.assert_close(mine[slot], theirs, rtol=2e-6, atol=1e-6)
        expected = torch.autograd.grad(alone.loss, own, allow_unused=True)
        for mine_or_none, theirs_or_none in zip(found, expected, strict=True):
            assert (mine_or_none is None) == (theirs_or_none is None)
            if mine_or_none is not None:
                torch.testing.assert_close(mine_or_none[slot], theirs_or_none)


@pytest.mark.parametrize("likelihood", ["bernoulli", "sigma"])
def test_infinite_and_nan_outputs_stay_in_their_slot(likelihood: str) -> None:
    chosen, beta = configs(likelihood=likelihood, **ALL), torch.ones(SLOTS)
    sound = leaves()
    ill = leaves()
    with torch.no_grad():
        for leaf in ill:
            leaf[1] = torch.inf
            leaf[1, 0] = torch.nan
    well, unwell = (stacked(chosen, output(*inputs), beta) for inputs in (sound, ill))
    assert not unwell.loss[1].isfinite()
    before = torch.autograd.grad(well.loss.sum(), sound)
    after = torch.autograd.grad(unwell.loss.sum(), ill)
    for mine, theirs in zip((*figures(well), *before), (*figures(unwell), *after), strict=True):
        assert torch.equal(mine[[0, 2]], theirs[[0, 2]])


def test_padding_gets_no_free_bits() -> None:
    chosen = configs(free_bits=0.2)
    logits, z_mean, z_logvar = leaves()
    padded = output(logits, *(torch.nn.functional.pad(z, (0, 4)) for z in (z_mean, z_logvar)))
    objective = StackedObjective(filled(chosen, D + 4))
    beta = torch.ones(SLOTS)
    narrow = stacked(chosen, output(logits, z_mean, z_logvar), beta)
    torch.testing.assert_close(objective(padded, *images(), beta).loss, narrow.loss)
