"""The built-in terms of the training loss, and `Objective`, which adds terms up.

Convention: summed over pixels or latent dimensions, averaged over images (nats per image).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from vae_trainables import metrics
from vae_trainables.config import TrialConfig
from vae_trainables.objective import likelihoods, terms
from vae_trainables.objective.terms import Batch, Number, Setting, Term

if TYPE_CHECKING:  # models compute their KL with this module: at run time the arrow points here
    from vae_trainables.models import ModelOutput

_SMALLEST_NORM = 1e-6


class LossTerms(NamedTuple):
    """Scalars of a batch. Only `loss` carries a graph to differentiate."""

    loss: Tensor
    """What is minimised, every weight applied."""
    values: dict[str, Tensor]
    """What is logged as `train/...`, by name and without weights: `recon`, the likelihood's
    negative log-likelihood, and `kl`, the KL to the prior without β, free bits or target, nats per
    image whatever the loss is made of; and the value of each other term that is computed."""

    def shown(self) -> Tensor:
        """The loss and all values in one tensor, (1 + values,) or stacked (K, 1 + values)."""
        return torch.stack([self.loss.detach(), *self.values.values()], dim=-1)


class Objective:
    """The training loss of trials whose losses have these terms.

    One trial's numbers are Python's; `torch.func.vmap` over tensors in their place makes it the
    loss of many at once.
    """

    def __init__(self, names: Collection[str]) -> None:
        """names: of terms, as from `terms.active_names`; settings among them do not matter."""
        self.terms = terms.chosen(names)
        logged = terms.logged(names)
        self.logged = ("loss", *(term.name for term in logged))
        """The names of all that is logged; 0 stands for a term that is not computed."""
        self._shown = [term for term in logged if term in self.terms or term.shown is not None]
        self.computed = ("loss", *(term.name for term in self._shown))
        """The names of `LossTerms.shown`."""

    def __call__(self, batch: Batch, weights: Mapping[str, Number]) -> LossTerms:
        """The weighted loss of a batch and the terms worth logging.

        weights: of each of the terms, by name; in `kl`'s place β as it stands.
        """
        loss: Tensor | None = None
        values: dict[str, Tensor] = {}
        for term in self.terms:
            values[term.name] = value = term.value(batch)
            weight = weights[term.name]
            if isinstance(weight, Tensor) or weight != 1.0:
                value = weight * value
            loss = value if loss is None else loss + value
        assert loss is not None, "every configuration reconstructs"
        return LossTerms(loss, {term.name: _shown(term, values, batch) for term in self._shown})


@torch.no_grad()
def _shown(term: Term, values: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """What is logged of a term; its value, if it was computed, is among `values`."""
    if term.shown is not None:
        return term.shown(batch).detach()
    return values[term.name].detach()


class TrialLoss:
    """The training loss of one configuration. ValueError for settings that nothing reads."""

    def __init__(self, config: TrialConfig) -> None:
        self._objective = Objective(terms.active_names(config))
        self._likelihood = likelihoods.build(config.model)
        present = self._objective.terms
        self._weights = {term.name: term.weight(config) for term in present}
        self._settings = {s.name: s.of(config) for term in present for s in term.settings}
        self.logged = self._objective.logged
        self.computed = self._objective.computed

    def __call__(
        self, output: ModelOutput, clean: Tensor, labels: Tensor, beta: float | Tensor
    ) -> LossTerms:
        """The weighted loss of one batch and the terms worth logging.

        Args:
            output: of the model, whose input may have been noisy.
            clean: (B, C, H, W) in [0, 1], what is to be reconstructed.
            labels: (B,) int64.
            beta: the KL's present weight, from `schedules.beta`.
        """
        weights: dict[str, Number] = dict(self._weights)
        if "kl" in weights:
            weights["kl"] = beta
        batch = Batch(output, clean, labels, self._likelihood, self._settings)
        return self._objective(batch, weights)

    def own(self, means: Mapping[str, float]) -> list[float]:
        """Of means by name, of a cohort perhaps, which has other terms too, what is `logged`.

        A term that this trial does not have is 0.
        """
        return [means[name] if name in self.computed else 0.0 for name in self.logged]


def objective(
    output: ModelOutput, clean: Tensor, labels: Tensor, config: TrialConfig, beta: float | Tensor
) -> LossTerms:
    """`TrialLoss` of `config` for one batch; beta may be a tensor, as in a captured step."""
    return TrialLoss(config)(output, clean, labels, beta)


def squared_error(image: Tensor, clean: Tensor) -> Tensor:
    """Squared error summed over pixels, (B, C, H, W) twice -> (B,)."""
    return (image - clean).square().flatten(1).sum(1)


def absolute_error(image: Tensor, clean: Tensor) -> Tensor:
    """Absolute error (L1) summed over pixels, (B, C, H, W) twice -> (B,)."""
    return (image - clean).abs().flatten(1).sum(1)


def edge_error(image: Tensor, clean: Tensor) -> Tensor:
    """L1 distance of the images' gradients, summed; (B, C, H, W) twice -> (B,).

    Gradients are differences of neighbouring pixels, across and down (cf. the gradient difference
    loss of Mathieu, Couprie & LeCun 2016): blur costs where the clean image has an edge.
    """
    error = image - clean
    across, down = error.diff(dim=3), error.diff(dim=2)
    return across.abs().flatten(1).sum(1) + down.abs().flatten(1).sum(1)


def kl_penalty(
    per_dimension: Tensor,
    *,
    free_bits: Number = 0.0,
    target: Number | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """What beta multiplies, a scalar in nats per image, of the KL's mean over the images, (D,).

    Plainly the KL summed over dimensions.
    free_bits: each dimension counts as at least that many nats, so that keeping it informative is
    free (Kingma et al. 2016, one dimension per group).
    target: the distance |KL - target| in place of the KL (Burgess et al. 2018), taken after free
    bits; a negative tensor stands for None.
    mask: (D,), 0 in padding, which has no free bits.
    """
    if isinstance(free_bits, Tensor) or free_bits > 0:
        per_dimension = per_dimension.clamp(min=free_bits)
        if mask is not None:
            per_dimension = per_dimension * mask
    total = per_dimension.sum()
    if target is None:
        return total
    distance = (total - target).abs()
    return torch.where(target >= 0, distance, total) if isinstance(target, Tensor) else distance


def supcon(z: Tensor, labels: Tensor, temperature: Number) -> Tensor:
    """Supervised contrastive loss L_out (Khosla et al. 2020, eq. 2) on L2-normalised codes.

    z (B, D), labels (B,) -> scalar: the mean over anchors that have a positive, a sample of the
    same class other than themselves. Without any such anchor it is exactly 0. A zero vector has
    no direction: its similarity to all others is 0, and it receives no gradient.
    """
    u = _directions(z)
    similarity = u @ u.T / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    others = similarity.masked_fill(itself, torch.finfo(z.dtype).min)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    count = positive.sum(1)
    pull = (similarity * positive).sum(1) / count.clamp(min=1)
    loss = torch.where(count > 0, others.logsumexp(1) - pull, 0.0)
    return loss.sum() / (count > 0).sum().clamp(min=1)


def _directions(z: Tensor) -> Tensor:
    """Rows of z (B, D) scaled to length 1; rows that are all but zero become exactly zero.

    The inner `where` keeps 0 ** -0.5 out of the graph: infinity times 0 would be NaN.
    """
    square = z.square().sum(1, keepdim=True)
    usable = square > _SMALLEST_NORM**2
    return z * torch.where(usable, torch.where(usable, square, 1.0).rsqrt(), 0.0)


# The terms, in the order in which they are added up


def _only(term: str) -> terms.Of:
    """1 for configurations that reconstruct by this term alone."""
    return lambda config: float(config.objective.recon_term == term)


def _mean_kl(batch: Batch) -> Tensor:
    """Summed over dimensions or over images first: on a CPU in the order of published runs."""
    if batch.clean.device.type == "cpu":
        return batch.output.kl.detach().sum(1).mean()
    return batch.kl_per_dimension.sum()


def _kl(batch: Batch) -> Tensor:
    free_bits, target = batch.settings["free_bits"], batch.settings["kl_target"]
    aimed = isinstance(target, Tensor) or target >= 0
    return kl_penalty(
        batch.kl_per_dimension,
        free_bits=free_bits,
        target=target if aimed else None,
        mask=batch.latent_mask,
    )


def _supcon(batch: Batch) -> Tensor:
    return supcon(batch.output.z_mean, batch.labels, batch.settings["supcon_temperature"])


NATS = "nats per image"
_FREE_BITS = Setting("free_bits", -math.inf, lambda config: config.objective.free_bits or -math.inf)
_TARGET = Setting(
    "kl_target", -1.0, lambda c: -1.0 if c.objective.kl_target is None else c.objective.kl_target
)
_TEMPERATURE = Setting(
    "supcon_temperature", 1.0, lambda config: config.objective.supcon_temperature
)

for _term in (
    Term(
        "recon",
        NATS,
        "batch",
        lambda batch: batch.mean_nll,
        _only("nll"),
        exclusive=True,
        shown=lambda batch: batch.mean_nll,
        always=True,
    ),
    Term(
        "mse",
        "grey levels² per image",
        "image",
        lambda b: squared_error(b.image, b.clean),
        _only("mse"),
        exclusive=True,
    ),
    Term(
        "l1",
        "grey levels per image",
        "image",
        lambda b: absolute_error(b.image, b.clean),
        _only("l1"),
        exclusive=True,
    ),
    Term(
        "ssim",
        "1 - SSIM",
        "batch",
        lambda b: 1.0 - metrics.ssim(b.image, b.clean).mean(),
        lambda c: c.objective.ssim_weight,
    ),
    Term(
        "edge",
        "grey levels per image",
        "image",
        lambda b: edge_error(b.image, b.clean),
        lambda c: c.objective.edge_weight,
    ),
    Term(
        "kl",
        NATS,
        "batch",
        _kl,
        lambda config: float(config.model.variational),
        (_FREE_BITS, _TARGET),
        shown=_mean_kl,
        always=True,
    ),
    Term(
        "supcon",
        "nats per anchor",
        "batch",
        _supcon,
        lambda c: c.objective.supcon_gamma,
        (_TEMPERATURE,),
        always=True,
    ),
):
    terms.add(_term)
