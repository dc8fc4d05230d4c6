"""What is measured on images, targets and latent distributions, as functions of tensors.

Everything here is per image (or per latent dimension) and runs on the device of its arguments, so
that a figure does not depend on the batch size or on the order of the data. Probes on codes are in
`representation`, figures that need a trained classifier in `features`.
"""

from __future__ import annotations

import torch
from torch import Tensor

PSNR_CAP = 100.0
"""dB given to images whose MSE is below 1e-10, identical ones included: means stay finite."""

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
_SSIM_CHUNK = 256  # images at once: their 5 float64 maps still fit in a CPU's cache (4x faster)


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

    Differentiable. Computed in float64 where the device has it: in float32 the variances lose
    about 1e-5 to cancellation.

    Raises:
        ValueError: shapes differ, or height or width is below 11.
    """
    _require_same_images(pred, target)
    height, width = pred.shape[-2:]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"ssim needs images of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, got "
            f"{height}x{width}: enlarge them or use mse"
        )
    dtype = torch.float32 if pred.device.type == "mps" else torch.float64
    rows = _gaussian_band(height, dtype, pred.device)
    columns = _gaussian_band(width, dtype, pred.device).T
    chunks = zip(torch.split(pred, _SSIM_CHUNK), torch.split(target, _SSIM_CHUNK), strict=True)
    values = [_ssim_chunk(p.to(dtype), t.to(dtype), rows, columns) for p, t in chunks]
    return torch.cat(values).to(pred.dtype)


def _ssim_chunk(pred: Tensor, target: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    centre = 0.5  # variances do not depend on it, and less cancels around 0 than around 0.5
    x, y = pred - centre, target - centre
    moments = rows @ torch.stack([x, y, x * x, y * y, x * y]) @ columns
    x_mean, y_mean, xx, yy, xy = moments.unbind()
    x_var, y_var, covariance = xx - x_mean**2, yy - y_mean**2, xy - x_mean * y_mean
    x_mean, y_mean = x_mean + centre, y_mean + centre
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * x_mean * y_mean + c1) / (x_mean**2 + y_mean**2 + c1)
    structure = (2 * covariance + c2) / (x_var + y_var + c2)
    return (luminance * structure).flatten(1).mean(1)


def _gaussian_band(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`(size - 10, size)`: times a column of pixels it is the gaussian mean at the valid places."""
    offsets = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    window = torch.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    places = size - SSIM_WINDOW + 1
    band = torch.zeros(places, size, dtype=torch.float64)
    for place in range(places):
        band[place, place : place + SSIM_WINDOW] = window / window.sum()
    return band.to(device=device, dtype=dtype)


def _require_same_images(pred: Tensor, target: Tensor) -> None:
    if pred.shape != target.shape or pred.ndim != 4:
        raise ValueError(
            "expected two tensors of one shape (B, C, H, W), got "
            f"{tuple(pred.shape)} and {tuple(target.shape)}"
        )
