"""What is measured on images, targets and latent distributions, as functions of tensors.

A metric of one's own is one function:

    @metrics.register(name="worst", unit="grey levels", better="lower")
    def worst_pixel(image: Tensor, clean: Tensor) -> Tensor:
        return (image - clean).abs().flatten(1).amax(1)

Everything here is per image (or per latent dimension) and runs on the device of its arguments, so
that a figure does not depend on the batch size or on the order of the data. Probes on codes are in
`representation`, figures that need a trained classifier in `features`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_trainables.config.vocabulary import Vocabulary

PerImage = Callable[[Tensor, Tensor], Tensor]
"""Of images and their targets, both (B, C, H, W) in [0, 1]: a number for each image, (B,)."""


@dataclass(frozen=True)
class Metric:
    """A figure of denoised images, from a user's file: the mean of `function` over a split."""

    name: str
    unit: str
    better: Literal["lower", "higher"]
    function: PerImage


OWN: dict[str, Metric] = {}
"""Metrics that users' files have registered, by name."""
NAMES = Vocabulary(
    "metric", "mse", "psnr", "ssim", "recon", "kl", "neg_elbo", "loss", "supcon", "active_units",
    "probe", "knn", "frechet", "iw_nll", "iw_gain", "iw_samples", "iw_images", "class_accuracy",
    "predicted_mse", "predicted_psnr", "predicted_ssim", "n", "name", "split", "kind", "factor",
)  # fmt: skip
"""Of this package's figures and of what stands beside them in its tables, and of own metrics."""


def register(
    *, name: str, unit: str, better: Literal["lower", "higher"]
) -> Callable[[PerImage], PerImage]:
    """Decorator: a metric of denoised images, measured wherever MSE, PSNR and SSIM are.

    As `val/NAME` after each epoch, where it may be an objective or a pruning metric, as `test/NAME`
    and of the baselines. The function does not branch on values of tensors, so that it serves
    trials that train together.

    Raises ValueError for a name that is taken or that is none.
    """

    def take(function: PerImage) -> PerImage:
        NAMES.add(name, function.__module__)
        OWN[name] = Metric(name, unit, better, function)
        return function

    return take


def remove(name: str) -> None:
    """Take a metric out again, as a test does with its own."""
    NAMES.remove(name)
    del OWN[name]


def per_image(image: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """All figures of denoised images, own ones included; (B, C, H, W) twice -> (B,) each."""
    built_in = {"mse": mse(image, clean), "psnr": psnr(image, clean), "ssim": ssim(image, clean)}
    return built_in | {name: metric.function(image, clean) for name, metric in OWN.items()}


PSNR_CAP = 100.0
"""dB given to images whose MSE is below 1e-10, identical ones included: means stay finite."""

SSIM_WINDOW = 11
SSIM_LEAST = 3  # pixels a side
SSIM_SIGMA = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
_SSIM_CHUNK = {"cpu": 64}  # images at once: their float64 maps stay in a core's cache
_SSIM_CHUNK_ELSEWHERE = 16_384  # a GPU would wait for launches; bounds the maps to 1.6 GB at 28x28


def mse(pred: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the pixels of each image; `(B, C, H, W)` twice -> `(B,)`."""
    _require_same_images(pred, target)
    return (pred - target).square().flatten(1).mean(1)


def psnr(pred: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, data range 1; `(B, C, H, W)` -> `(B,)`.

    Capped at `PSNR_CAP` (the gradient is zero there). The figure of a data set is the mean over
    its images, not the PSNR of their mean MSE.
    """
    return -10 * torch.log10(mse(pred, target).clamp_min(10 ** (-PSNR_CAP / 10)))


def ssim(pred: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of each image, data range 1; `(B, C, H, W)` twice -> `(B,)`.

    Wang et al. 2004: gaussian window 11x11 with sigma 1.5, K1 = .01, K2 = .03, population
    covariance, mean over the region where the window fits, then over channels. Equals
    scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=1.0)`.

    Along a side of fewer than 11 pixels the window is the longest odd one that fits.

    Differentiable. Computed in float64 where the device has it: in float32 the variances lose
    about 1e-5 to cancellation.

    Raises:
        ValueError: shapes differ, or height or width is below 3.
    """
    _require_same_images(pred, target)
    height, width = pred.shape[-2:]
    if min(height, width) < SSIM_LEAST:
        raise ValueError(
            f"ssim needs images of at least {SSIM_LEAST}x{SSIM_LEAST} pixels, got "
            f"{height}x{width}: enlarge them or use mse"
        )
    dtype = _wide_dtype(pred.device)
    rows = _gaussian_band(height, dtype, pred.device)
    columns = _gaussian_band(width, dtype, pred.device)
    size = _SSIM_CHUNK.get(pred.device.type, _SSIM_CHUNK_ELSEWHERE)
    chunks = zip(torch.split(pred, size), torch.split(target, size), strict=True)
    values = [_ssim_chunk(p.to(dtype), t.to(dtype), rows, columns) for p, t in chunks]
    return torch.cat(values).to(pred.dtype)


def _ssim_chunk(pred: Tensor, target: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images come last in memory: both filters are then wide products, half as long again else.

    The formula needs the two variances' sum alone, so four maps are filtered, not five. What is
    not a product is bound by memory: one pass for a product and a sum.
    """
    height, width = pred.shape[-2:]
    x, y = (images.reshape(-1, height * width).T for images in (pred, target))
    maps = torch.stack([x, y, torch.addcmul(x * x, y, y), x * y], 1)  # (pixels, 4, images)
    filtered = (rows @ maps.view(height, -1)).view(len(rows), width, -1)
    x_mean, y_mean, squares, xy = (columns @ filtered).view(-1, *maps.shape[1:]).unbind(1)
    product = x_mean * y_mean
    squared_means = torch.addcmul(x_mean * x_mean, y_mean, y_mean)
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * product + c1) / (squared_means + c1)
    structure = (2 * (xy - product) + c2) / (squares - squared_means + c2)
    return (luminance * structure).mean(0).view(len(pred), -1).mean(1)


@cache  # a copy to a GPU, which would make the host wait and cannot be captured into a CUDA graph
@torch.inference_mode(False)  # made under evaluation, it must serve in a loss all the same
def _gaussian_band(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`(size - 10, size)`: times a column of pixels it is the gaussian mean at the valid places."""
    length = min(SSIM_WINDOW, size - 1 + size % 2)
    offsets = torch.arange(length, dtype=torch.float64) - length // 2
    window = torch.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    places = size - length + 1
    band = torch.zeros(places, size, dtype=torch.float64)
    for place in range(places):
        band[place, place : place + length] = window / window.sum()
    return band.to(device=device, dtype=dtype)


def _require_same_images(pred: Tensor, target: Tensor) -> None:
    if pred.shape != target.shape or pred.ndim != 4:
        raise ValueError(
            "expected two tensors of one shape (B, C, H, W), got "
            f"{tuple(pred.shape)} and {tuple(target.shape)}"
        )


def bernoulli_entropy(target: Tensor) -> Tensor:
    """Entropy of the pixels as Bernoulli probabilities, nats per image; `(B, ...)` -> `(B,)`.

    The floor of the binary cross-entropy with grey targets: no decoder can go below it.
    """
    return -(torch.xlogy(target, target) + torch.xlogy(1 - target, 1 - target)).flatten(1).sum(1)


def bernoulli_excess(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy above its floor, nats per image; `(B, ...)` twice -> `(B,)`.

    That is the Kullback-Leibler divergence from the target's Bernoulli pixels to the decoder's:
    0 for `logits = logit(target)`, whatever the grey values.
    """
    bce = binary_cross_entropy_with_logits(logits, target, reduction="none")
    return bce.flatten(1).sum(1) - bernoulli_entropy(target)


def kl_per_dimension(kl: Tensor) -> Tensor:
    """Mean over the images of the KL of each latent dimension, nats; `(B, D)` -> `(D,)`."""
    return kl.mean(0, dtype=_wide_dtype(kl.device)).to(kl.dtype)


def active_units(z_mean: Tensor, threshold: float = 0.01) -> int:
    """How many latent dimensions the data moves; `z_mean` of a whole data set, `(N, D)`.

    Burda, Grosse & Salakhutdinov 2016: the variance over the data of the posterior mean is at
    least `threshold`.

    Raises:
        ValueError: fewer than two codes, over which no variance is defined.
    """
    if z_mean.ndim != 2 or len(z_mean) < 2:
        raise ValueError(
            f"active_units needs codes (N, D) of at least 2 images, got {tuple(z_mean.shape)}"
        )
    variance = z_mean.to(_wide_dtype(z_mean.device)).var(0, unbiased=False)
    return int((variance >= threshold).sum())


def interpolation_smoothness(frames: Tensor) -> Tensor:
    """How evenly images change along a walk between two codes; `(B, T, C, H, W)` -> `(B,)`.

    Distance between the first and the last image over `(T - 1)` times the largest step, all as
    Euclidean distances of pixels. 1: every step changes the image by the same amount in the same
    direction; a detour or a jump lowers it; 0: a walk that returns to its start. A walk on which
    nothing changes scores 1.

    Raises:
        ValueError: fewer than two images in a walk.
    """
    if frames.ndim != 5 or frames.shape[1] < 2:
        raise ValueError(
            f"expected walks (B, T, C, H, W) of at least 2 images, got {tuple(frames.shape)}"
        )
    points = frames.flatten(2)
    longest = (points[:, 1:] - points[:, :-1]).norm(dim=2).amax(1)
    straight = (points[:, -1] - points[:, 0]).norm(dim=1)
    steps = points.shape[1] - 1
    moves = longest > 0
    return torch.where(moves, straight / (steps * longest.where(moves, 1)), 1.0)


def _wide_dtype(device: torch.device) -> torch.dtype:
    """float64 where the device has it: sums then hardly feel their order."""
    return torch.float32 if device.type == "mps" else torch.float64
