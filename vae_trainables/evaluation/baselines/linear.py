"""Baselines that are linear, or less: by means and covariances of the training images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vae_trainables.evaluation.baselines.training import CHUNK, Denoiser, Fitted, Training

RIDGES = np.logspace(-8, 1, 19)  # of the mean variance of the noisy pixels


@dataclass(frozen=True)
class Moments:
    """First and second moments of clean and noisy pixels, float64; P = C · H · W pixels.

    Attributes:
        clean_mean, noisy_mean: `(P,)`.
        clean: covariance of the clean pixels, `(P, P)`.
        noisy: covariance of the noisy pixels, `(P, P)`.
        cross: covariance of clean (rows) with noisy pixels (columns), `(P, P)`.
    """

    clean_mean: Tensor
    noisy_mean: Tensor
    clean: Tensor
    noisy: Tensor
    cross: Tensor


def nothing(training: Training) -> Fitted:
    """The noisy image as it is."""
    return Fitted(lambda noisy: noisy, {})


def mean_image(training: Training) -> Fitted:
    """The mean training image, whatever the noisy image."""
    mean = training.once(moments).clean_mean.float().view(training.clean.shape[1:])
    return Fitted(lambda noisy: mean.expand_as(noisy), {})


def wiener(training: Training, rank: int | None = None) -> Fitted:
    """The linear denoiser with the least mean squared error (LMMSE), clipped to [0, 1].

    x = m_x + C_xy (C_yy + ridge I)⁻¹ (y - m_y), from the joint moments of clean and noisy training
    pixels, so that the bias of clipped noise is corrected too. The ridge, next to nothing where
    training images abound, has the least generalised cross-validation error. With `rank`, the best
    linear map of that rank (reduced-rank regression, Izenman 1975): all that a linear bottleneck
    of that width can do.
    """
    pixels = training.once(moments)
    filter_, ridge = training.once(ridge_regression)
    parameters = {"ridge": ridge}
    if rank is not None:
        _require_components(rank, len(pixels.clean_mean))
        directions = _leading(filter_ @ pixels.noisy @ filter_.T, rank)
        filter_ = directions @ (directions.T @ filter_)
        parameters["rank"] = rank
    return Fitted(_linear(filter_, training), parameters)


def pca(training: Training, components: int) -> Fitted:
    """Projection on the first principal components of the clean training images, clipped.

    The noisy image is centred on the noisy mean, which removes the bias of clipped noise.
    """
    pixels = training.once(moments)
    _require_components(components, len(pixels.clean_mean))
    directions = _leading(pixels.clean, components)
    return Fitted(_linear(directions @ directions.T, training), {"components": components})


def moments(training: Training) -> Moments:
    """Of all training images; centred first, as float32 products cancel."""
    clean, noisy = training.clean.flatten(1), training.noisy.flatten(1)
    clean_mean = clean.mean(0, dtype=torch.float64) / 255
    noisy_mean = noisy.mean(0, dtype=torch.float64)
    pixels = clean.shape[1]
    sums = torch.zeros(3, pixels, pixels, dtype=torch.float64)
    for x, y in zip(torch.split(clean, CHUNK), torch.split(noisy, CHUNK), strict=True):
        x, y = x / 255 - clean_mean.float(), y - noisy_mean.float()
        for total, product in zip(sums, (x.T @ x, y.T @ y, x.T @ y), strict=True):
            total += product
    return Moments(clean_mean, noisy_mean, *(sums / len(clean)))


def ridge_regression(training: Training) -> tuple[Tensor, float]:
    """The map `(P, P)` from noisy to clean pixels, and the ridge that was chosen.

    Generalised cross-validation (Golub, Heath & Wahba 1979), from the moments alone: the residual
    variance over (1 - degrees of freedom / images)².
    """
    pixels, count = training.once(moments), len(training)
    values, vectors = torch.linalg.eigh(pixels.noisy)
    values = values.clamp_min(0)
    rotated = pixels.cross @ vectors
    power = rotated.square().sum(0)
    best, ridge = math.inf, math.inf
    for candidate in RIDGES * float(values.mean()):
        damped = values + candidate
        residual = pixels.clean.trace() - (power * (2 / damped - values / damped**2)).sum()
        freedom = (values / damped).sum() + 1  # one for the mean
        score = float(residual / (1 - freedom / count) ** 2) if freedom < count else math.inf
        if score < best:
            best, ridge = score, float(candidate)
    return rotated / (values + ridge) @ vectors.T, ridge


def _leading(covariance: Tensor, count: int) -> Tensor:
    """The eigenvectors `(P, count)` of the largest eigenvalues: of 3,072 a fifth of all's time."""
    from scipy.linalg import eigh  # a second, and only for this

    pixels = len(covariance)
    wanted = [pixels - count, pixels - 1]
    return torch.from_numpy(eigh(covariance.numpy(), subset_by_index=wanted)[1])


def _linear(filter_: Tensor, training: Training) -> Denoiser:
    """clip(m_x + filter (y - m_y)) in float32."""
    transposed = filter_.T.float()
    clean_mean = training.once(moments).clean_mean.float()
    noisy_mean = training.once(moments).noisy_mean.float()

    def denoise(noisy: Tensor) -> Tensor:
        restored = (noisy.flatten(1) - noisy_mean) @ transposed + clean_mean
        return restored.clamp(0, 1).view_as(noisy)

    return denoise


def _require_components(components: int, pixels: int) -> None:
    if not 1 <= components <= pixels:
        raise ValueError(f"rank or components must be from 1 to {pixels}, got {components}")
