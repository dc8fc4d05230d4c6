"""Dropout whose zeros are the trial's own: the same alone, in a cohort and after a resume.

torch's layers draw from a generator of the process, which neighbours advance and no checkpoint
holds. `adopt` puts layers of ours in their place; these draw by `philox` from a key that lies in
their buffers, so that a cohort has one per slot and a captured step can advance it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vae_trainables.numerics import philox

FIRST_STREAM = 1_000
"""Of the first dropout layer of a model; below are those of `streams`."""

SEED, STEP = "dropout_seed", "dropout_step"
"""The buffers' names; no others may end like them."""


class Dropout(nn.Module):
    """Zeroes each value with probability `p` while training, and scales the rest by 1 / (1 - p).

    whole_maps: zero whole channels of (B, C, ...), as `nn.Dropout2d` does.
    """

    def __init__(self, p: float = 0.5, *, whole_maps: bool = False) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout needs a probability from 0 to below 1, got {p}")
        self.p, self.whole_maps, self.stream = p, whole_maps, FIRST_STREAM
        self.dropout_seed: Tensor
        self.dropout_step: Tensor
        for name in (SEED, STEP):
            zero = torch.zeros((), dtype=torch.int64)
            self.register_buffer(name, zero, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, the same out."""
        if not self.training or self.p == 0:
            return x
        shape = (*x.shape[:2], *[1] * (x.dim() - 2)) if self.whole_maps else x.shape
        count = shape.numel() if isinstance(shape, torch.Size) else x.shape[0] * x.shape[1]
        drawn = philox.uniform(self.dropout_seed, self.stream, self.dropout_step, count)
        kept = (drawn >= self.p).view(shape)
        return torch.where(kept, x * (1 / (1 - self.p)), 0.0)

    def extra_repr(self) -> str:
        """For the model's text."""
        return f"p={self.p}"


def adopt(model: nn.Module) -> None:
    """Put `Dropout` in the place of torch's layers, and give each layer a stream of its own.

    Raises ValueError for a kind of dropout that has no counterpart here.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.modules.dropout._DropoutNd):
                setattr(parent, name, _counterpart(name, child))
    for number, layer in enumerate(_layers(model)):
        layer.stream = FIRST_STREAM + number


def _counterpart(name: str, layer: nn.modules.dropout._DropoutNd) -> Dropout:
    if type(layer) is nn.Dropout:
        return Dropout(layer.p)
    if type(layer) in (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d):
        return Dropout(layer.p, whole_maps=True)
    raise ValueError(
        f"{name}: {type(layer).__name__} draws random numbers that are not the trial's: use "
        "nn.Dropout, nn.Dropout2d or vae_trainables.models.dropout.Dropout"
    )


def has_layers(model: nn.Module) -> bool:
    """Whether `set_key` has anything to set."""
    return next(_layers(model), None) is not None


def set_key(model: nn.Module, seed: int, step: int) -> None:
    """Let the layers draw what belongs to a step of the trial with this seed."""
    for layer in _layers(model):
        layer.dropout_seed.fill_(seed)
        layer.dropout_step.fill_(step)


def _layers(model: nn.Module) -> Iterator[Dropout]:
    return (layer for layer in model.modules() if isinstance(layer, Dropout))
