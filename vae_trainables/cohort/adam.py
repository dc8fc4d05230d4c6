"""Adam and AdamW over all slots, each with its own learning rate, weight decay and step count.

Three ways to the same numbers. `PerSlotAdam` calls torch's fused kernel once per slot: the bits of
a solo trial, but learning rates pass through the host. `FlatAdam` passes over the flat buffers with
numbers on the device, so that a CUDA graph can hold it; it rounds in another order. `KernelAdam` is
the same by a Triton kernel per parameter, which reads the gradient where autograd has left it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Literal, Protocol

import torch
from torch import Tensor

from vae_trainables.cohort.bank import Bank
from vae_trainables.training.adam import BETA1, BETA2, EPS, fused_step

AdamWay = Literal["per_slot", "flat"]


class StackedAdam(Protocol):
    """One optimizer step of every slot."""

    def step(self, gradients: list[Tensor], lr: Tensor, weight_decay: Tensor) -> None:
        """gradients: per parameter (slots, *shape); lr, weight_decay: float64 (slots,)."""


class PerSlotAdam:
    """torch's fused Adam, slot by slot."""

    def __init__(self, bank: Bank, *, decoupled: bool) -> None:
        self.decoupled = decoupled
        self.bank = bank
        self._rows = [list(row) for row in zip(*bank.stacked(bank.flat), strict=True)]
        moments = (bank.stacked(bank.exp_avg), bank.stacked(bank.exp_avg_sq))
        self._moments = [
            [
                {"exp_avg": first[slot], "exp_avg_sq": second[slot]}
                for first, second in zip(*moments, strict=True)
            ]
            for slot in range(bank.slots)
        ]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: Tensor, weight_decay: Tensor) -> None:
        rates, decays = lr.tolist(), weight_decay.tolist()
        for slot in range(self.bank.slots):
            count = self.bank.steps[slot]
            fused_step(
                self._rows[slot],
                [gradient[slot].contiguous() for gradient in gradients],
                [moments | {"step": count.clone()} for moments in self._moments[slot]],
                lr=rates[slot],
                weight_decay=decays[slot],
                decoupled=self.decoupled,
            )
        self.bank.steps += 1


class FlatAdam:
    """One pass over the flat buffers, without a look at any value by the host."""

    def __init__(self, bank: Bank, *, decoupled: bool) -> None:
        self.decoupled = decoupled
        self.bank = bank
        self._gradient = torch.zeros_like(bank.flat)
        self._gaps = [bank.flat.new_zeros(bank.slots, width) for width in bank.gaps]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: Tensor, weight_decay: Tensor) -> None:
        bank = self.bank
        parts = [part.flatten(1) for part in gradients]
        pieces = [piece for pair in zip(parts, self._gaps, strict=True) for piece in pair]
        torch.cat([piece for piece in pieces if piece.shape[1]], dim=1, out=self._gradient)
        flat_adam_(
            bank.flat,
            self._gradient,
            bank.exp_avg,
            bank.exp_avg_sq,
            bank.steps,
            lr=lr,
            weight_decay=weight_decay,
            decoupled=self.decoupled,
        )


class KernelAdam:
    """One kernel per parameter in place of some twenty and a copy of every gradient."""

    def __init__(self, bank: Bank, kernels: ModuleType, *, decoupled: bool) -> None:
        """kernels: `numerics.kernels`, which not every machine can import."""
        self.bank, self.kernels, self.decoupled = bank, kernels, decoupled
        buffers = bank.flat, bank.exp_avg, bank.exp_avg_sq
        self._views = list(zip(*map(bank.stacked, buffers), strict=True))

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: Tensor, weight_decay: Tensor) -> None:
        self.bank.steps.add_(1)
        for (weights, *moments), gradient in zip(self._views, gradients, strict=True):
            self.kernels.adam_(
                weights,
                gradient,
                tuple(moments),
                self.bank.steps,
                (lr, weight_decay),
                betas=(BETA1, BETA2),
                eps=EPS,
                decoupled=self.decoupled,
            )


def flat_adam_(
    flat: Tensor,
    gradient: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    steps: Tensor,
    *,
    lr: Tensor,
    weight_decay: Tensor,
    decoupled: bool,
) -> None:
    """In place: Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019) if `decoupled`.

    flat, gradient, exp_avg, exp_avg_sq: float32 (slots, n); steps: float32 (slots,), counted up;
    lr, weight_decay: float64 (slots,). Corrections are computed in float64, as torch's host does.
    """
    steps.add_(1)
    count = steps.double()
    step_size = (lr / (1 - BETA1**count)).to(flat.dtype).unsqueeze(1)
    root_correction = (1 - BETA2**count).sqrt().to(flat.dtype).unsqueeze(1)
    if decoupled:
        flat.mul_((1 - lr * weight_decay).to(flat.dtype).unsqueeze(1))
    else:
        gradient = torch.addcmul(gradient, flat, weight_decay.to(flat.dtype).unsqueeze(1))
    exp_avg.lerp_(gradient, 1 - BETA1)
    exp_avg_sq.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
    denominator = exp_avg_sq.sqrt().div_(root_correction).add_(EPS)
    flat.addcdiv_(exp_avg * -step_size, denominator)
