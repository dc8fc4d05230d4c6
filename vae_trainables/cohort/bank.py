"""The stacked parameters, Adam moments and buffers of all slots; a row of a flat buffer per slot.

A row holds one trial. Layers and a latent narrower than the cohort's lie in the leading corners of
their tensors and the rest is zero. It stays exactly zero, since nothing feeds it: its noise is
zero, what a layer of zeros puts out is zero, hence every gradient, and Adam does not move what is
zero in weight, gradient and moments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_trainables.models import dropout
from vae_trainables.training.adam import AdamState
from vae_trainables.training.trial import Trial

MOMENTS = ("exp_avg", "exp_avg_sq")
_ALIGNMENT = 16  # float32 per 64 bytes: matrix kernels see each row aligned as a solo trial's


@dataclass(frozen=True)
class Segment:
    """Where one parameter lies in a row."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def end(self) -> int:
        """One past its last element."""
        return self.offset + math.prod(self.shape)


class Bank:
    """`slots` rows laid out like the parameters of `template`, whose latent is the widest."""

    def __init__(self, template: nn.Module, slots: int, device: torch.device) -> None:
        self.slots = slots
        self.segments = _lay_out(template)
        ends = [segment.end for segment in self.segments]
        self.gaps = [_aligned(end) - end for end in ends]
        """Numbers between the end of each parameter and the start of the next."""
        shape = slots, _aligned(ends[-1])
        self.flat = torch.zeros(shape, device=device)
        self.exp_avg, self.exp_avg_sq = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        self.steps = torch.zeros(slots, device=device)
        """Adam's step counts, float32 as torch keeps them."""
        self.parameters = {
            segment.name: view.requires_grad_()
            for segment, view in zip(self.segments, self.stacked(self.flat), strict=True)
        }
        self._initial = {n: b.detach().to(device) for n, b in template.named_buffers()}
        self.buffers = {
            name: torch.stack([buffer] * slots) for name, buffer in self._initial.items()
        }
        """By name, (slots, *shape): what a model keeps beside its parameters, for each trial."""
        self.tensors = {**self.parameters, **self.buffers}
        self._seeds, self._steps = (
            [buffer for name, buffer in self.buffers.items() if name.endswith(ending)]
            for ending in (dropout.SEED, dropout.STEP)
        )

    def stacked(self, flat: Tensor) -> list[Tensor]:
        """Per parameter a view (slots, *shape) of `flat`, a buffer of the bank's shape."""
        return [
            flat.detach()[:, segment.offset : segment.end].view(self.slots, *segment.shape)
            for segment in self.segments
        ]

    def rounded(self) -> dict[str, Tensor]:
        """The parameters in bfloat16, copied at once; leaves for gradients, as `parameters` are."""
        views = self.stacked(self.flat.detach().to(torch.bfloat16))
        names = (segment.name for segment in self.segments)
        return {name: view.requires_grad_() for name, view in zip(names, views, strict=True)}

    @torch.no_grad()
    def load(self, slot: int, model: nn.Module, state: AdamState) -> None:
        """Fill a row from a trial's own model and its optimizer's state."""
        self.clear(slot)
        parameters = list(model.parameters())
        _copy(self._corners(slot, self.flat, parameters), parameters)
        for name, buffer in model.named_buffers():
            self.buffers[name][slot] = buffer
        if not state:  # before its first step
            return
        for name in MOMENTS:
            own = [state[parameter][name] for parameter in parameters]
            _copy(self._corners(slot, getattr(self, name), own), own)
        self.steps[slot] = state[parameters[0]]["step"]

    @torch.no_grad()
    def store(self, slot: int, model: nn.Module, state: AdamState) -> None:
        """Bring a trial's own model and its optimizer's state to where its row is."""
        parameters = list(model.parameters())
        _copy(parameters, self._corners(slot, self.flat, parameters))
        for name, buffer in model.named_buffers():
            buffer.copy_(self.buffers[name][slot])
        moments = {n: self._corners(slot, getattr(self, n), parameters) for n in MOMENTS}
        for i, parameter in enumerate(parameters):
            state[parameter]["step"] = self.steps[slot].clone()
            for name in MOMENTS:
                state[parameter][name] = torch.empty_like(parameter).copy_(moments[name][i])

    def begin_epoch(self, trials: Mapping[int, Trial]) -> None:
        """Let dropout draw what belongs to the slots' next epochs."""
        for slot, trial in trials.items():
            for seed, step in zip(self._seeds, self._steps, strict=True):
                seed[slot] = trial.config.seed
                step[slot] = trial.epoch * trial.steps_per_epoch

    def advance(self) -> None:
        """Go to the next step."""
        for step in self._steps:
            step.add_(1)

    def clear(self, slot: int) -> None:
        """Empty a row. Zero weights compute finite numbers, so an empty slot disturbs nobody."""
        for buffer in (self.flat, self.exp_avg, self.exp_avg_sq, self.steps):
            buffer[slot] = 0
        for name, initial in self._initial.items():
            self.buffers[name][slot] = initial

    def _corners(self, slot: int, flat: Tensor, own: Iterable[Tensor]) -> list[Tensor]:
        """Of each of a slot's tensors the part that a trial with tensors like `own` has."""
        pairs = zip(self.stacked(flat), own, strict=True)
        return [whole[slot][tuple(map(slice, small.shape))] for whole, small in pairs]


def _lay_out(template: nn.Module) -> list[Segment]:
    segments: list[Segment] = []
    offset = 0
    for name, parameter in template.named_parameters():
        segments.append(Segment(name, tuple(parameter.shape), offset))
        offset = _aligned(segments[-1].end)
    return segments


def _aligned(offset: int) -> int:
    return math.ceil(offset / _ALIGNMENT) * _ALIGNMENT


def _copy(to: Iterable[Tensor], source: Iterable[Tensor]) -> None:
    for target, value in zip(to, source, strict=True):
        target.copy_(value)
