"""Baselines that smooth an image by itself, tuned on training images: by scikit-image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vae_trainables.evaluation.baselines.training import (
    Fitted,
    Training,
    channel,
    mean_psnr,
    tuning_indices,
)

TV_WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6)
NLM_PATCHES = (5, 7)
NLM_DISTANCE = 5
NLM_STRENGTHS = (0.3, 0.5, 0.7, 1.0, 1.4)  # of the noise's standard deviation


def total_variation(training: Training) -> Fitted:
    """scikit-image's `denoise_tv_chambolle` (Chambolle 2004), then one straight line for all.

    The weight gives training images the highest mean PSNR among `TV_WEIGHTS`, with the line
    `a x + b` fitted to them by least squares: without it, clipped noise leaves a grey veil. Colour
    channels are smoothed one by one.
    """
    from skimage.restoration import denoise_tv_chambolle

    def smooth(image: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
        smoothed: NDArray[np.float32] = denoise_tv_chambolle(image, weight=weight)
        return smoothed

    return _tuned(smooth, [{"weight": weight} for weight in TV_WEIGHTS], training)


def non_local_means(training: Training) -> Fitted:
    """scikit-image's `denoise_nl_means` (Buades et al. 2005), then one straight line for all.

    Patch size, strength and whether patch distances are corrected for the noise are chosen like
    the weight of `total_variation`.
    """
    from skimage.restoration import denoise_nl_means

    def smooth(
        image: NDArray[np.float32], patch_size: float, h: float, sigma: float
    ) -> NDArray[np.float32]:
        smoothed: NDArray[np.float32] = denoise_nl_means(
            image,
            patch_size=int(patch_size),
            patch_distance=NLM_DISTANCE,
            h=h,
            sigma=sigma,
        )
        return smoothed

    deviation = channel(training)[1] ** 0.5
    grid = [
        {"patch_size": float(size), "h": strength * deviation, "sigma": sigma}
        for size in NLM_PATCHES
        for strength in NLM_STRENGTHS
        for sigma in (0.0, deviation)
    ]
    return _tuned(smooth, grid, training)


def _tuned(
    smooth: Callable[..., NDArray[np.float32]], grid: list[dict[str, float]], training: Training
) -> Fitted:
    """`smooth` with the parameters of `grid` that give the highest PSNR after the best line."""
    indices = tuning_indices(training)
    noisy, clean = training.noisy[indices], training.clean[indices] / 255

    def candidate(parameters: dict[str, float]) -> tuple[float, Fitted]:
        smoothed = _each(smooth, noisy, parameters)
        slope, offset = _line(smoothed, clean)
        quality = mean_psnr((slope * smoothed + offset).clamp(0, 1), clean)
        return quality, _smoother(smooth, parameters, slope, offset)

    return max((candidate(parameters) for parameters in grid), key=lambda pair: pair[0])[1]


def _smoother(
    smooth: Callable[..., NDArray[np.float32]],
    parameters: dict[str, float],
    slope: float,
    offset: float,
) -> Fitted:
    def denoise(noisy: Tensor) -> Tensor:
        return (slope * _each(smooth, noisy, parameters) + offset).clamp(0, 1)

    return Fitted(denoise, {**parameters, "slope": slope, "offset": offset})


def _each(
    smooth: Callable[..., NDArray[np.float32]], images: Tensor, parameters: dict[str, float]
) -> Tensor:
    channels = images.flatten(0, 1).numpy()
    smoothed = np.stack([smooth(channel, **parameters) for channel in channels])
    return torch.from_numpy(smoothed).to(images.dtype).view_as(images)


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Slope and offset of the least-squares line through all pixels."""
    x, y = x.flatten().double(), y.flatten().double()
    variance = x.var(unbiased=False)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    slope = float(covariance / variance) if variance > 0 else 0.0
    return slope, float(y.mean()) - slope * float(x.mean())
