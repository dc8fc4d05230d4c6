"""The trials' own objective for K slots at once: `torch.func.vmap`, every number one per slot.

A term that any slot may have is computed for all, with weight 0 where a slot has no such term: it
then adds exact zeros. No slot feels another, not its gradient, nor its infinity.
"""

from __future__ import annotations

from typing import get_args

from torch import Tensor
from torch.func import vmap

from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.config import LikelihoodKind
from vae_trainables.models import ModelOutput
from vae_trainables.objective import likelihoods
from vae_trainables.objective.likelihoods import Likelihood
from vae_trainables.objective.losses import LossTerms, Objective
from vae_trainables.objective.terms import Batch, Number

Numbers = dict[str, Tensor]
"""By name, each (K,), or without dimensions inside of `vmap`."""


class StackedObjective:
    """The loss of slots whose settings and terms are in `vectors`."""

    def __init__(self, vectors: SlotVectors) -> None:
        self.vectors = vectors
        self._objective = Objective(vectors.names)
        self._ones = dict.fromkeys((term.name for term in self._objective.terms), 1.0)
        self.computed = self._objective.computed

    def __call__(
        self, output: ModelOutput, clean: Tensor, labels: Tensor, beta: Tensor
    ) -> LossTerms:
        """Terms (K,) of stacked output (K, B, ...), clean (K, B, C, H, W), labels (K, B)."""
        vectors = self.vectors
        weights = vectors.part("weight") | ({"kl": beta} if "kl" in vectors.names else {})
        numbers = weights, vectors.part("setting"), vectors.part("likelihood")
        terms: LossTerms = vmap(self._slot)(output, clean, labels, *numbers, vectors.latent_mask)
        return terms

    def _slot(
        self,
        output: ModelOutput,
        clean: Tensor,
        labels: Tensor,
        weights: Numbers,
        settings: Numbers,
        likelihood: Numbers,
        latent_mask: Tensor,
    ) -> LossTerms:
        numbers: dict[str, Number] = {**self.vectors.neutral, **settings}
        own_likelihood = slot_likelihood(likelihood)
        return self._objective(
            Batch(output, clean, labels, own_likelihood, numbers, latent_mask),
            {**self._ones, **weights},
        )


def slot_likelihood(numbers: Numbers) -> Likelihood:
    """A slot's likelihood from its numbers: the only one there is, or one of several."""
    std = numbers.get("gaussian_std")
    kinds: list[LikelihoodKind] = [kind for kind in get_args(LikelihoodKind) if kind in numbers]
    parts = [likelihoods.of_kind(kind, 1.0 if std is None else std) for kind in kinds]
    if len(parts) == 1:
        return parts[0]
    return likelihoods.Selected(tuple(parts), tuple(numbers[kind] for kind in kinds))
