"""Denoisers that learn no network: how good is good on these very images and this very noise.

Each baseline is fitted and tuned on training images and one noisy copy of them, so that it works
for every kind of noise; test images are seen only to be denoised. Nothing here depends on how many
images are denoised at once. A baseline of one's own is one function:

    @baselines.register("median")
    def median(training: Training) -> Denoiser:
        return lambda noisy: torch.from_numpy(median_filter(noisy.numpy(), (1, 1, 3, 3)))
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vae_trainables import metrics
from vae_trainables.config import NoiseKind, stable_hash
from vae_trainables.config.vocabulary import Vocabulary
from vae_trainables.datasets.sources import CACHE_VARIABLE, cache_folder
from vae_trainables.evaluation.evaluator import ROBUSTNESS_FACTORS, evaluation_noise

Progress = Callable[[str, int, int], None]
"""Called with the baseline's name, how many images are done, and how many there are."""

VERSION = 1  # goes into the cache's key: raise it when a baseline gives other figures
LEAST_IMAGES = 2  # of training, for a covariance
WIENER_RANK = 16
RIDGES = np.logspace(-8, 1, 19)  # of the mean variance of the noisy pixels
TUNING_IMAGES = 200  # training images that choose the parameters of tv, nlm and lookup
COSTLY = ("total variation", "non-local means", "lookup")  # 0.5 to 3 ms of a core per image
COSTLY_IMAGES = 2_000  # test images that these denoise unless told otherwise
TV_WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6)
NLM_PATCHES = (5, 7)
NLM_DISTANCE = 5
NLM_STRENGTHS = (0.3, 0.5, 0.7, 1.0, 1.4)  # of the noise's standard deviation
MOST_PIXELS = 4096  # values per image up to which a covariance of all of them is diagonalised
_COVARIANCE = ("wiener rank 16", "wiener", "pca")
TEMPERATURES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0, 48.0)

_CHUNK = 5_000  # images whose products are added up at once
_DENOISE_CHUNK = 250  # lookup compares them with all training images: 60 MB for 60,000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What a baseline may learn from: the same training images clean and noisy.

    Attributes:
        clean: uint8 `(N, C, H, W)`.
        noisy: float32 `(N, C, H, W)` in [0, 1], with the noise of the evaluation but draws of its
            own.
    """

    clean: Tensor
    noisy: Tensor

    def __post_init__(self) -> None:
        if self.clean.dtype != torch.uint8 or self.clean.ndim != 4:
            raise ValueError(
                "training images must be uint8 (N, C, H, W), got "
                f"{self.clean.dtype} {tuple(self.clean.shape)}"
            )
        if self.noisy.shape != self.clean.shape or self.noisy.dtype != torch.float32:
            raise ValueError(
                f"noisy training images must be float32 {tuple(self.clean.shape)}, got "
                f"{self.noisy.dtype} {tuple(self.noisy.shape)}"
            )
        if len(self.clean) < LEAST_IMAGES:
            raise ValueError(
                f"baselines need at least {LEAST_IMAGES} training images, got {len(self.clean)}"
            )

    def __len__(self) -> int:
        return len(self.clean)

    @cached_property
    def moments(self) -> Moments:
        """Means and covariances, computed once for all linear baselines."""
        return _moments(self.clean.flatten(1), self.noisy.flatten(1))

    @cached_property
    def regression(self) -> tuple[Tensor, float]:
        """`_ridge_regression` of the moments, once: of 3,072 pixels it takes ten seconds."""
        return _ridge_regression(self.moments, len(self))

    @cached_property
    def wiener(self) -> Fitted:
        """The full Wiener filter, fitted once for tables, pictures and curves."""
        return wiener(self)


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


Denoiser = Callable[[Tensor], Tensor]
"""Noisy images `(n, C, H, W)` to denoised ones in [0, 1], one by one."""
Fit = Callable[[Training], Denoiser]


@dataclass(frozen=True)
class Fitted:
    """A baseline ready to denoise, and the parameters that were set or chosen."""

    denoise: Denoiser
    parameters: dict[str, float]


def nothing(training: Training) -> Fitted:
    """The noisy image as it is."""
    return Fitted(lambda noisy: noisy, {})


def mean_image(training: Training) -> Fitted:
    """The mean training image, whatever the noisy image."""
    mean = training.moments.clean_mean.float().view(training.clean.shape[1:])
    return Fitted(lambda noisy: mean.expand_as(noisy), {})


def wiener(training: Training, rank: int | None = None) -> Fitted:
    """The linear denoiser with the least mean squared error (LMMSE), clipped to [0, 1].

    x = m_x + C_xy (C_yy + ridge I)⁻¹ (y - m_y), from the joint moments of clean and noisy training
    pixels, so that the bias of clipped noise is corrected too. The ridge, next to nothing where
    training images abound, has the least generalised cross-validation error. With `rank`, the best
    linear map of that rank (reduced-rank regression, Izenman 1975): all that a linear bottleneck
    of that width can do.
    """
    moments = training.moments
    filter_, ridge = training.regression
    parameters = {"ridge": ridge}
    if rank is not None:
        _require_components(rank, len(moments.clean_mean))
        directions = torch.linalg.eigh(filter_ @ moments.noisy @ filter_.T).eigenvectors[:, -rank:]
        filter_ = directions @ (directions.T @ filter_)
        parameters["rank"] = rank
    return Fitted(_linear(filter_, training), parameters)


def pca(training: Training, components: int) -> Fitted:
    """Projection on the first principal components of the clean training images, clipped.

    The noisy image is centred on the noisy mean, which removes the bias of clipped noise.
    """
    moments = training.moments
    _require_components(components, len(moments.clean_mean))
    directions = torch.linalg.eigh(moments.clean).eigenvectors[:, -components:]
    return Fitted(_linear(directions @ directions.T, training), {"components": components})


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

    deviation = _channel(training)[1] ** 0.5
    grid = [
        {"patch_size": float(size), "h": strength * deviation, "sigma": sigma}
        for size in NLM_PATCHES
        for strength in NLM_STRENGTHS
        for sigma in (0.0, deviation)
    ]
    return _tuned(smooth, grid, training)


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


BASELINES: dict[str, Callable[[Training, int], Fitted]] = {
    "do nothing": lambda training, _: nothing(training),
    "mean image": lambda training, _: mean_image(training),
    f"wiener rank {WIENER_RANK}": lambda training, _: wiener(training, WIENER_RANK),
    "wiener": lambda training, _: training.wiener,
    "pca": lambda training, components: pca(training, components),
    "total variation": lambda training, _: total_variation(training),
    "non-local means": lambda training, _: non_local_means(training),
    "lookup": lambda training, _: lookup(training),
}


NAMES = Vocabulary("baseline", *BASELINES, identifiers=False)
OWN: dict[str, Fit] = {}
"""Baselines that users' files have registered, by name."""


def register(name: str) -> Callable[[Fit], Fit]:
    """Decorator: a baseline of one's own, judged beside the others on validation and test images.

    Its function learns from `Training` and returns what denoises float32 (n, C, H, W) in [0, 1].
    Its figures are computed anew by every study: unlike the others' they are not cached.

    Raises ValueError for a name that a baseline of this package or of another file has.
    """

    def take(fit: Fit) -> Fit:
        NAMES.add(name, fit.__module__)
        OWN[name] = fit
        return fit

    return take


def remove(name: str) -> None:
    """Take a baseline out again, as a test does with its own."""
    NAMES.remove(name)
    del OWN[name]


def _fitted(name: str, training: Training, components: int) -> Fitted:
    if name in OWN:
        return Fitted(OWN[name](training), {})
    return BASELINES[name](training, components)


def affordable(names: Iterable[str], pixels: int) -> list[str]:
    """Those of `names` that images of `pixels` values allow: see `MOST_PIXELS`."""
    return [name for name in names if pixels <= MOST_PIXELS or name not in _COVARIANCE]


def evaluate_all(
    training: Training,
    noisy: Tensor,
    clean: Tensor,
    *,
    components: int,
    names: Iterable[str] = tuple(BASELINES),
    costly_images: int | None = COSTLY_IMAGES,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> list[dict[str, Any]]:
    """Quality of the baselines `names` on given images, one row each.

    Args:
        training: what they learn from, on the CPU.
        noisy, clean: float32 `(n, C, H, W)` in [0, 1].
        components: of `pca`, usually the latent dimension; more than the pixels are all of them.
        costly_images: how many of the images, from the first, those in `COSTLY` denoise; None: all.
        progress: told after every few images.
        folder: of the cache; the user's own without it. Rows are found there again by the bytes
            of all images and the parameters, unless something of a user's file is involved.

    Returns:
        Rows with `name`, `mse`, `psnr` (dB), `ssim` (means over images), `n` (how many images)
        and the parameters of the baseline.
    """
    names = list(names)
    for name in names:
        NAMES.checked(name)
    if noisy.shape != clean.shape or noisy.shape[1:] != training.clean.shape[1:]:
        raise ValueError(
            f"noisy {tuple(noisy.shape)}, clean {tuple(clean.shape)} and training images "
            f"{tuple(training.clean.shape)} must have the same C, H, W, noisy and clean the same n"
        )
    noisy, clean = noisy.cpu(), clean.cpu()
    components = min(components, training.clean[0].numel())
    folder = folder or cache_folder("baselines")
    data = _digest(training.clean, training.noisy, noisy, clean)
    rows = []
    for name in names:
        limit = costly_images if name in COSTLY else None
        count = min(len(noisy), limit or len(noisy))
        key = stable_hash([VERSION, data, name, count, components if name == "pca" else None])
        path = folder / f"{key}.json"
        cached = name not in OWN and not metrics.OWN
        row = _read_row(path) if cached else None
        if row is None:
            fitted = _fitted(name, training, components)
            row = _row(name, fitted, noisy[:count], clean[:count], progress)
            if cached:
                _write_row(path, row)
        rows.append(row)
    return rows


def over_noise(
    fitted: Fitted, clean: Tensor, kinds: Sequence[NoiseKind], name: str
) -> list[dict[str, Any]]:
    """Mean PSNR (dB) of a fitted baseline on `clean` (n, C, H, W) over noise kinds and factors."""
    return [
        {
            "name": name,
            "kind": kind,
            "factor": factor,
            "n": len(clean),
            "psnr": _psnr_at(fitted, clean, kind, factor),
        }
        for kind in kinds
        for factor in ROBUSTNESS_FACTORS
    ]


def _psnr_at(fitted: Fitted, clean: Tensor, kind: NoiseKind, factor: float) -> float:
    noisy = evaluation_noise(clean, kind, factor)
    parts = zip(noisy.split(_DENOISE_CHUNK), clean.split(_DENOISE_CHUNK), strict=True)
    values = [metrics.psnr(fitted.denoise(images), truth) for images, truth in parts]
    return float(torch.cat(values).double().mean())


def _row(
    name: str, fitted: Fitted, noisy: Tensor, clean: Tensor, progress: Progress | None
) -> dict[str, Any]:
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(noisy), _DENOISE_CHUNK):
        part = slice(start, start + _DENOISE_CHUNK)
        denoised = fitted.denoise(noisy[part])
        for metric, values in metrics.per_image(denoised, clean[part]).items():
            parts.setdefault(metric, []).append(values)
        if progress is not None:
            progress(name, min(part.stop, len(noisy)), len(noisy))
    means = {metric: float(torch.cat(values).double().mean()) for metric, values in parts.items()}
    return {"name": name, **means, "n": len(noisy), **fitted.parameters}


def _moments(clean: Tensor, noisy: Tensor) -> Moments:
    """Of uint8 and float32 images, each `(N, P)`; centred first, as float32 products cancel."""
    clean_mean = clean.mean(0, dtype=torch.float64) / 255
    noisy_mean = noisy.mean(0, dtype=torch.float64)
    pixels = clean.shape[1]
    sums = torch.zeros(3, pixels, pixels, dtype=torch.float64)
    for x, y in zip(torch.split(clean, _CHUNK), torch.split(noisy, _CHUNK), strict=True):
        x, y = x / 255 - clean_mean.float(), y - noisy_mean.float()
        for total, product in zip(sums, (x.T @ x, y.T @ y, x.T @ y), strict=True):
            total += product
    return Moments(clean_mean, noisy_mean, *(sums / len(clean)))


def _ridge_regression(moments: Moments, count: int) -> tuple[Tensor, float]:
    """The map `(P, P)` from noisy to clean pixels, and the ridge that was chosen.

    Generalised cross-validation (Golub, Heath & Wahba 1979), from the moments alone: the residual
    variance over (1 - degrees of freedom / images)².
    """
    values, vectors = torch.linalg.eigh(moments.noisy)
    values = values.clamp_min(0)
    rotated = moments.cross @ vectors
    power = rotated.square().sum(0)
    best, ridge = math.inf, math.inf
    for candidate in RIDGES * float(values.mean()):
        damped = values + candidate
        residual = moments.clean.trace() - (power * (2 / damped - values / damped**2)).sum()
        freedom = (values / damped).sum() + 1  # one for the mean
        score = float(residual / (1 - freedom / count) ** 2) if freedom < count else math.inf
        if score < best:
            best, ridge = score, float(candidate)
    return rotated / (values + ridge) @ vectors.T, ridge


def _linear(filter_: Tensor, training: Training) -> Denoiser:
    """clip(m_x + filter (y - m_y)) in float32."""
    transposed = filter_.T.float()
    clean_mean = training.moments.clean_mean.float()
    noisy_mean = training.moments.noisy_mean.float()

    def denoise(noisy: Tensor) -> Tensor:
        restored = (noisy.flatten(1) - noisy_mean) @ transposed + clean_mean
        return restored.clamp(0, 1).view_as(noisy)

    return denoise


def _tuned(
    smooth: Callable[..., NDArray[np.float32]], grid: list[dict[str, float]], training: Training
) -> Fitted:
    """`smooth` with the parameters of `grid` that give the highest PSNR after the best line."""
    indices = _tuning_indices(training)
    noisy, clean = training.noisy[indices], training.clean[indices] / 255

    def candidate(parameters: dict[str, float]) -> tuple[float, Fitted]:
        smoothed = _each(smooth, noisy, parameters)
        slope, offset = _line(smoothed, clean)
        quality = _mean_psnr((slope * smoothed + offset).clamp(0, 1), clean)
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


def _mean_psnr(denoised: Tensor, clean: Tensor) -> float:
    return float(metrics.psnr(denoised, clean).double().mean())


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Slope and offset of the least-squares line through all pixels."""
    x, y = x.flatten().double(), y.flatten().double()
    variance = x.var(unbiased=False)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    slope = float(covariance / variance) if variance > 0 else 0.0
    return slope, float(y.mean()) - slope * float(x.mean())


class _Lookup:
    """Training images as they are and as the noise shows them, ready to be compared with."""

    def __init__(self, training: Training) -> None:
        levels, variance = _channel(training)
        self.training = training
        self.clean = training.clean.flatten(1) / 255
        self.deviation = variance**0.5  # the unit of all distances
        self.shown = levels.float()[training.clean.flatten(1).int()] / self.deviation
        self.half_norm = self.shown.square().sum(1) / 2

    def denoise(self, noisy: Tensor, temperature: float) -> Tensor:
        return self._mean(self._log_weights(noisy), temperature).view_as(noisy)

    def best_temperature(self) -> float:
        """On training images that may not find themselves."""
        indices = _tuning_indices(self.training)
        log_weights = self._log_weights(self.training.noisy[indices])
        log_weights[torch.arange(len(indices)), indices] = -math.inf
        clean = self.training.clean[indices] / 255

        def quality(temperature: float) -> float:
            return _mean_psnr(self._mean(log_weights, temperature).view_as(clean), clean)

        return max(TEMPERATURES, key=quality)

    def _log_weights(self, noisy: Tensor) -> Tensor:
        """Up to a constant per row, `(n, N)`; |y|² is such a constant."""
        products: Tensor = (noisy.flatten(1) / self.deviation) @ self.shown.T
        return products.sub_(self.half_norm)

    def _mean(self, log_weights: Tensor, temperature: float) -> Tensor:
        mean: Tensor = torch.softmax(log_weights / temperature, 1) @ self.clean
        return mean.clamp(0, 1)  # weights sum to 1 but for rounding


def _channel(training: Training) -> tuple[Tensor, float]:
    """What the noise makes of a grey level on average, float64 `(256,)`, and the variance left.

    The variance is at least that of half a grey level: without noise nobody has to divide by 0.
    """
    count, total, squares = torch.zeros(3, 256, dtype=torch.float64)
    parts = zip(
        torch.split(training.clean, _CHUNK), torch.split(training.noisy, _CHUNK), strict=True
    )
    for clean, noisy in parts:
        levels, values = clean.flatten().int(), noisy.flatten().double()
        count += torch.bincount(levels, minlength=256)
        total += torch.bincount(levels, values, minlength=256)
        squares += torch.bincount(levels, values.square(), minlength=256)
    mean = total / count.clamp_min(1)
    variance = float((squares - total * mean).sum() / count.sum())
    return mean, max(variance, (0.5 / 255) ** 2)


def _tuning_indices(training: Training) -> Tensor:
    """`TUNING_IMAGES` training images at equal distances, so that sorted sets give all classes."""
    count = min(TUNING_IMAGES, len(training))
    return torch.arange(count) * len(training) // count


def _require_components(components: int, pixels: int) -> None:
    if not 1 <= components <= pixels:
        raise ValueError(f"rank or components must be from 1 to {pixels}, got {components}")


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().view(-1).numpy().data)
    return digest.hexdigest()


def _read_row(path: Path) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s: cannot be read (%s), computing the baseline again", path, error)
        return None
    return row


def _write_row(path: Path, row: dict[str, Any]) -> None:
    """Atomically; a cache that cannot be written costs time later, not this result."""
    temporary = path.with_suffix(f".tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(row))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        log.warning(
            "%s: cannot be written (%s), the baseline is not cached; %s names another folder",
            path,
            error.strerror,
            CACHE_VARIABLE,
        )
