"""Likelihoods of the decoder: each turns logits into an image and into nats.

A likelihood is a small frozen object without parameters: `nll` is the loss, `mean` the image.
A new one is one class here and one line in `_KINDS`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from vae_trainables.config import LikelihoodKind, ModelConfig

SMALLEST_STD = math.exp(-6.0)
"""Floor of the sigma-VAE's std, as in Rybkin et al. 2021: about half a grey level of 255."""

_LOG_2PI = math.log(2.0 * math.pi)
_TAYLOR_RADIUS = 0.25  # |logit| below which series replace quotients that cancel around 0


class _CrossEntropy(torch.autograd.Function):
    """Five times as fast on a CPU as torch's own, whose log1p is not vectorised there.

    -log sigmoid(|x|) is log1p(exp(-|x|)) to within a rounding of 1, which is 6e-8 nats per pixel.
    """

    @staticmethod
    def forward(logits: Tensor, target: Tensor) -> Tensor:
        if logits.device.type != "cpu":  # two kernels; what cancels is below 1e-6 nats per pixel
            return torch.addcmul(softplus(logits), logits, target, value=-1)
        tail = logits.abs().sigmoid_().log_()
        return logits.clamp_min(0).addcmul_(logits, target, value=-1).sub_(tail)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, target = ctx.saved_tensors
        of_target = -logits * gradients[0] if ctx.needs_input_grad[1] else None
        return torch.sigmoid(logits).sub_(target).mul_(gradients[0]), of_target

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        """Of a cohort's slots: pixel by pixel, all slots' at once."""
        whole = [
            part.movedim(dim, 0) if dim is not None else part.expand(info.batch_size, *part.shape)
            for part, dim in zip(inputs, in_dims, strict=True)
        ]
        result: Tensor = _CrossEntropy.apply(*whole)
        return result, 0


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) for each pixel, nats; any shape."""
    nats: Tensor = _CrossEntropy.apply(logits, target)
    return nats


class Likelihood(ABC):
    """p(x | logits), pixels independent given the logits."""

    @abstractmethod
    def nll(self, logits: Tensor, target: Tensor) -> Tensor:
        """-log p(target | logits) in nats summed over pixels; both (B, C, H, W) -> (B,)."""

    @abstractmethod
    def mean(self, logits: Tensor) -> Tensor:
        """E[x | logits], an image in [0, 1], (B, C, H, W)."""

    def settled(self, mse: float | Tensor) -> Likelihood:
        """This likelihood with all that a batch decides decided; `mse`: of a whole split.

        Evaluation goes through it, so that no figure depends on the batch size.
        """
        return self


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Binary cross-entropy; grey targets are taken as probabilities (Kingma & Welling 2014).

    For grey targets the lowest possible value is their entropy, not zero.
    """

    def nll(self, logits: Tensor, target: Tensor) -> Tensor:
        bce = cross_entropy(logits, target)
        return bce.flatten(1).sum(1)

    def mean(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)


@dataclass(frozen=True)
class ContinuousBernoulli(Likelihood):
    """The Bernoulli made a density on [0, 1] (Loaiza-Ganem & Cunningham 2019).

    With lambda = sigmoid(logit) its normaliser is C = logit / tanh(logit / 2), an even function
    of the logit that is 2 at lambda = 0.5. Its mean is not lambda but lies nearer to 0.5.
    """

    def nll(self, logits: Tensor, target: Tensor) -> Tensor:
        bce = cross_entropy(logits, target)
        return (bce - continuous_bernoulli_log_normalizer(logits)).flatten(1).sum(1)

    def mean(self, logits: Tensor) -> Tensor:
        return continuous_bernoulli_mean(logits)


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Normal pixels around sigmoid(logits) with one fixed std; a density, so it may be negative."""

    std: float | Tensor
    """A tensor without dimensions where trials are computed together."""

    def nll(self, logits: Tensor, target: Tensor) -> Tensor:
        squares = _squared_error(self.mean(logits), target)
        pixels = target[0].numel()
        log_std = self.std.log() if isinstance(self.std, Tensor) else math.log(self.std)
        constant = pixels * (log_std + 0.5 * _LOG_2PI)
        return squares * (0.5 / self.std**2) + constant

    def mean(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)


@dataclass(frozen=True)
class Sigma(Likelihood):
    """Gaussian whose variance is the maximum-likelihood one of the batch: its MSE.

    The optimal sigma-VAE of Rybkin, Daniilidis & Levine 2021: reconstruction and KL
    are balanced without a weight to tune. One variance for all images and pixels of a batch, with
    std at least `SMALLEST_STD`. An image's nats therefore depend on its batch: evaluate through
    `settled`, which takes the variance of the whole split.
    """

    def nll(self, logits: Tensor, target: Tensor) -> Tensor:
        squares = _squared_error(self.mean(logits), target)
        pixels = target[0].numel()
        variance = (squares.mean() / pixels).clamp(min=SMALLEST_STD**2)
        return 0.5 * (squares / variance + pixels * (variance.log() + _LOG_2PI))

    def mean(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    def settled(self, mse: float | Tensor) -> Likelihood:
        if isinstance(mse, Tensor):
            return Gaussian(mse.sqrt().clamp(min=SMALLEST_STD))
        return Gaussian(max(math.sqrt(mse), SMALLEST_STD))


@dataclass(frozen=True)
class Selected(Likelihood):
    """One of several, for trials of different likelihoods that are computed together.

    shares: one per part, 1 for the trial's own and 0 for the others, which then add exact zeros.
    """

    parts: tuple[Likelihood, ...]
    shares: tuple[Tensor, ...]

    def nll(self, logits: Tensor, target: Tensor) -> Tensor:
        return self._sum([part.nll(logits, target) for part in self.parts])

    def mean(self, logits: Tensor) -> Tensor:
        return self._sum([part.mean(logits) for part in self.parts])

    def settled(self, mse: float | Tensor) -> Likelihood:
        return Selected(tuple(part.settled(mse) for part in self.parts), self.shares)

    def _sum(self, values: list[Tensor]) -> Tensor:
        total = self.shares[0] * values[0]
        for share, value in zip(self.shares[1:], values[1:], strict=True):
            total = total + share * value
        return total


def continuous_bernoulli_log_normalizer(logits: Tensor) -> Tensor:
    """log C(sigmoid(logits)) = log(logits / tanh(logits / 2)), elementwise, same shape.

    The quotient is 0 / 0 at 0 and its gradient cancels around it: there the Taylor series, whose
    first omitted term is below 3e-12. Both branches see safe values, so no NaN in the gradient.
    """
    near = logits.abs() < _TAYLOR_RADIUS
    far = torch.where(near, 1.0, logits)
    square = torch.where(near, logits, 0.0).square()
    series = math.log(2.0) + square * (
        1 / 12 + square * (-7 / 1440 + square * (31 / 90720 - square * (127 / 4838400)))
    )
    return torch.where(near, series, torch.log(far / torch.tanh(0.5 * far)))


def continuous_bernoulli_mean(logits: Tensor) -> Tensor:
    """E[x] = 1 / (1 - exp(-logits)) - 1 / logits, elementwise; 0.5 at 0, same shape."""
    near = logits.abs() < _TAYLOR_RADIUS
    far = torch.where(near, 1.0, logits)
    small = torch.where(near, logits, 0.0)
    square = small.square()
    series = 0.5 + small * (
        1 / 12 + square * (-1 / 720 + square * (1 / 30240 - square * (1 / 1209600)))
    )
    return torch.where(near, series, 0.5 + 0.5 / torch.tanh(0.5 * far) - 1.0 / far)


def _squared_error(mean: Tensor, target: Tensor) -> Tensor:
    """Summed over pixels, (B, C, H, W) -> (B,)."""
    return (mean - target).square().flatten(1).sum(1)


_KINDS: dict[LikelihoodKind, Callable[[float | Tensor], Likelihood]] = {
    "bernoulli": lambda std: Bernoulli(),
    "continuous_bernoulli": lambda std: ContinuousBernoulli(),
    "gaussian": Gaussian,
    "sigma": lambda std: Sigma(),
}


def build(config: ModelConfig) -> Likelihood:
    """The likelihood that `config.likelihood` names."""
    return of_kind(config.likelihood, config.gaussian_std)


def of_kind(kind: LikelihoodKind, gaussian_std: float | Tensor) -> Likelihood:
    """The likelihood of that name; the std matters to `gaussian` alone."""
    return _KINDS[kind](gaussian_std)
