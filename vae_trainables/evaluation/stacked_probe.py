"""The logistic probe of several models at once, on their device, by Newton's method.

It minimises what `representation.logistic_probe` does: the summed cross-entropy of a linear softmax
on standardised codes, plus 1/2 |W|². Scikit-learn's L-BFGS stops a little before the minimum, so
that accuracies may differ by a few images at a border: the tests allow two in a thousand.

Adding a number to all intercepts changes no probability. What fixes it here is 1/2 of their sum,
squared, which is 0 at the minimum.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ITERATIONS = 50
HALVINGS = 20
CONVERGED = 1e-10  # of the objective per image that a full step would still gain
JITTER = 1e-9  # per image, on the Hessian's diagonal: a direction, not a result, depends on it
ARMIJO = 1e-4
BYTES = 2**29  # of the largest intermediate tensor


def accuracies(train_codes: Tensor, train_labels: Tensor, codes: Tensor, labels: Tensor) -> Tensor:
    """Float64 `(K,)`: the share of `codes` (K, M, D) whose class is predicted.

    train_codes: (K, N, D), labels (N,) and (M,) are those of all models. A dimension that is
    constant counts for nothing; NaN for a model with a code that is not finite.
    """
    classes, targets = train_labels.unique(return_inverse=True)
    right = []
    parameters = (train_codes.shape[2] + 1) * len(classes)
    slots = max(1, BYTES // (8 * train_codes.shape[1] * parameters))
    for part, others in zip(train_codes.split(slots), codes.split(slots), strict=True):
        x, other = _standardised(part.double(), others.double())
        predicted = classes[(other @ _fitted(x, targets, len(classes))).argmax(2)]
        right.append((predicted == labels).double().mean(1))
    finite = [values.isfinite().flatten(1).all(1) for values in (train_codes, codes)]
    return torch.cat(right).where(finite[0] & finite[1], torch.nan)


def _standardised(train: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """As `representation._standardised`, and a column of ones; zero where a code is not finite."""
    train, other = train.nan_to_num(0, 0, 0), other.nan_to_num(0, 0, 0)
    mean, deviation = train.mean(1, keepdim=True), train.std(1, correction=0, keepdim=True)
    constant = deviation <= 1e-7 * mean.abs().clamp_min(1e-30)
    scale = deviation.masked_fill(constant, torch.inf)
    centred, others = (train - mean) / scale, (other - mean) / scale
    return F.pad(centred, (0, 1), value=1.0), F.pad(others, (0, 1), value=1.0)


def _fitted(x: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Weights (K, D, C) of x (K, N, D), whose last column is ones; its row are the intercepts."""
    truth = F.one_hot(targets, classes).to(x.dtype)
    weights = x.new_zeros(len(x), x.shape[2], classes)
    value = _objective(weights, x, targets)
    for _ in range(ITERATIONS):
        gradient, step = _newton(weights, x, truth)
        slope = (gradient * step).sum((1, 2))  # negative
        if bool((-slope <= CONVERGED * x.shape[1]).all()):
            break
        weights, value = _searched(weights, step, value, slope, x, targets)
    return weights


def _newton(weights: Tensor, x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient and Newton's step, each (K, D, C)."""
    slots, count, width = x.shape
    classes = truth.shape[1]
    p = (x @ weights).softmax(2)
    gradient = x.mT @ (p - truth) + _penalised(weights)
    spread = (p.unsqueeze(3) * x.unsqueeze(2)).flatten(2)  # (K, N, C * D)
    hessian = -(spread.mT @ spread)
    blocks = hessian.view(slots, classes, width, classes, width)
    diagonal = blocks.diagonal(dim1=1, dim2=3)  # (K, D, D, C)
    diagonal += (spread.mT @ x).view(slots, classes, width, width).permute(0, 2, 3, 1)
    blocks[:, :, -1, :, -1] += 1.0
    ridge = x.new_full((classes, width), 1.0 + JITTER * count)
    ridge[:, -1] = JITTER * count
    hessian.diagonal(dim1=1, dim2=2).add_(ridge.flatten())
    factor, _ = torch.linalg.cholesky_ex(hessian)
    flat = gradient.mT.flatten(1).unsqueeze(2)
    step = -torch.cholesky_solve(flat, factor).view(slots, classes, width).mT
    return gradient, step


def _penalised(weights: Tensor) -> Tensor:
    """The gradient of the penalties."""
    slopes, intercepts = weights[:, :-1], weights[:, -1:]
    return torch.cat([slopes, intercepts.sum(2, keepdim=True).expand_as(intercepts)], dim=1)


def _objective(weights: Tensor, x: Tensor, targets: Tensor) -> Tensor:
    """(K,)."""
    logits = x @ weights
    target_logits = logits.gather(2, targets.expand(len(x), -1).unsqueeze(2)).squeeze(2)
    penalty = weights[:, :-1].square().sum((1, 2)) + weights[:, -1].sum(1).square()
    return (logits.logsumexp(2) - target_logits).sum(1) + penalty / 2


def _searched(
    weights: Tensor, step: Tensor, value: Tensor, slope: Tensor, x: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Each model's step, halved until it gains enough (Armijo), and the objective there."""
    length = torch.ones_like(value)
    rounding = 1e-12 * value.abs()
    for _ in range(HALVINGS):
        moved = weights + length[:, None, None] * step
        reached = _objective(moved, x, targets)
        short = ~(reached <= value + ARMIJO * length * slope + rounding)
        if not bool(short.any()):
            break
        length = torch.where(short, length / 2, length)
    return moved, reached
