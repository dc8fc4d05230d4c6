"""The look-up among training images: what memory alone can do."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_trainables.evaluation.baselines.training import (
    Fitted,
    Training,
    channel,
    mean_psnr,
    tuning_indices,
)

TEMPERATURES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0, 48.0)


def lookup(training: Training) -> Fitted:
    """Mean of all training images, weighted by how well each explains the noisy image.

    Weights softmax(-|y - c_i|² / (2 v T)): c_i is training image i as the noise shows it on
    average (the mean noisy value of its grey levels), v the noise's variance around that. T = 1
    would be the posterior mean if the training images were all there is; a higher temperature
    makes up for the images between them. It gives the highest mean PSNR among `TEMPERATURES` to
    training images looked up in all others. For clipped gaussian noise of 0.45 on Fashion-MNIST
    its figures differ by 1 % from those with the exact likelihood, where T = 4 is best.
    """
    search = _Lookup(training)
    temperature = search.best_temperature()
    return Fitted(lambda noisy: search.denoise(noisy, temperature), {"temperature": temperature})


class _Lookup:
    """Training images as they are and as the noise shows them, ready to be compared with."""

    def __init__(self, training: Training) -> None:
        levels, variance = channel(training)
        self.training = training
        self.clean = training.clean.flatten(1) / 255
        self.deviation = variance**0.5  # the unit of all distances
        self.shown = levels.float()[training.clean.flatten(1).int()] / self.deviation
        self.half_norm = self.shown.square().sum(1) / 2

    def denoise(self, noisy: Tensor, temperature: float) -> Tensor:
        return self._mean(self._log_weights(noisy), temperature).view_as(noisy)

    def best_temperature(self) -> float:
        """On training images that may not find themselves."""
        indices = tuning_indices(self.training)
        log_weights = self._log_weights(self.training.noisy[indices])
        log_weights[torch.arange(len(indices)), indices] = -math.inf
        clean = self.training.clean[indices] / 255

        def quality(temperature: float) -> float:
            return mean_psnr(self._mean(log_weights, temperature).view_as(clean), clean)

        return max(TEMPERATURES, key=quality)

    def _log_weights(self, noisy: Tensor) -> Tensor:
        """Up to a constant per row, `(n, N)`; |y|² is such a constant."""
        products: Tensor = (noisy.flatten(1) / self.deviation) @ self.shown.T
        return products.sub_(self.half_norm)

    def _mean(self, log_weights: Tensor, temperature: float) -> Tensor:
        mean: Tensor = torch.softmax(log_weights / temperature, 1) @ self.clean
        return mean.clamp(0, 1)  # weights sum to 1 but for rounding
