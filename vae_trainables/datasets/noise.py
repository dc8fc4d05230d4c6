"""Corruptions of clean images: pure functions of the images, a factor and ready-made randomness.

At factor 0 every kind returns the images as they are; every result lies in [0, 1]. A kind of one's
own is one function:

    @noise.register("stripes", random="uniform")
    def stripes(images: Tensor, factor: Factor, rand: Tensor) -> Tensor:
        return images * (1 - factor * (rand[:, :, :, :1] < 0.5))

| kind | factor | random numbers |
|---|---|---|
| gaussian | standard deviation of the added noise, before clipping | normal |
| salt_pepper | expected share of pixels set to 0 or 1, half each | uniform |
| masking | share of the image's area hidden by one black rectangle | uniform |
| poisson | noise deviation of a white pixel: white = 1 / factor² photons on average | uniform |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vae_trainables.config import NOISE_KINDS, NoiseKind

Random = Literal["normal", "uniform"]
Factor = float | Tensor

_LEAST_POISSON_FACTOR = 1e-3  # a million photons: a quarter of one grey level of 255
_GRID = 2.0**-24  # float32 uniform numbers are multiples of this


Corruption = Callable[[Tensor, Factor, Tensor], Tensor]
"""Of images (B, C, H, W), a factor and random numbers of the same shape; a fresh tensor."""


@dataclass(frozen=True)
class Kind:
    """One corruption: what randomness it takes, up to which factor, and its function."""

    random: Random
    max_factor: float
    corrupt: Corruption


def register(
    name: str, *, random: Random = "normal", max_factor: float = 1.0
) -> Callable[[Corruption], Corruption]:
    """Decorator: a kind of noise of one's own, from then on a value of `noise_kind`.

    Its function gets float images in [0, 1], a number or one per image as (B, 1, 1, 1), and random
    numbers of the images' shape; it draws none itself and leaves the images as they are. What it
    returns is clipped to [0, 1]; at factor 0 it is not called.

    Raises ValueError for a name that is taken or that is none.
    """

    def take(function: Corruption) -> Corruption:
        NOISE_KINDS.add(name, function.__module__)

        def clipped(images: Tensor, factor: Factor, rand: Tensor) -> Tensor:
            return function(images, factor, rand).clamp(0, 1)

        KINDS[name] = Kind(random, max_factor, clipped)
        return function

    return take


def remove(name: str) -> None:
    """Take a kind out again, as a test does with its own."""
    NOISE_KINDS.remove(name)
    del KINDS[name]


def corrupt(kind: NoiseKind, images: Tensor, factor: Factor, rand: Tensor) -> Tensor:
    """Corrupt `images` with ready-made random numbers; the result is a fresh tensor.

    Args:
        kind: one of `KINDS`.
        images: float `(B, C, H, W)` in [0, 1].
        factor: a number, or one per image as a tensor `(B, 1, 1, 1)`; see the module's table.
        rand: numbers of `random_kind(kind)`, standard normal or uniform in [0, 1), of the shape
            and on the device of `images`.

    Raises ValueError for an unknown kind, images that are not float, or a number out of range
    (the values of a tensor are not looked at: that would make a GPU wait).
    """
    corruption = _kind(kind)
    if not images.is_floating_point():
        raise ValueError(f"images must be float in [0, 1], not {images.dtype}: divide by 255 first")
    if not isinstance(factor, Tensor) and not 0 <= factor <= corruption.max_factor:
        raise ValueError(
            f"{kind} noise needs a factor in [0, {corruption.max_factor:g}], not {factor}"
        )
    return corruption.corrupt(images, factor, rand)


def random_kind(kind: NoiseKind) -> Random:
    """The random numbers that `corrupt` wants for `kind`: "normal" or "uniform"."""
    return _kind(kind).random


def gaussian(images: Tensor, factor: Factor, generator: torch.Generator) -> Tensor:
    """clip(images + factor · N(0, 1), 0, 1), the noise of the reference denoiser."""
    return _drawn("gaussian", images, factor, generator)


def salt_and_pepper(images: Tensor, factor: Factor, generator: torch.Generator) -> Tensor:
    """Each pixel becomes 0 with probability factor / 2 and 1 with the same."""
    return _drawn("salt_pepper", images, factor, generator)


def masking(images: Tensor, factor: Factor, generator: torch.Generator) -> Tensor:
    """A black rectangle at a random place, exactly `factor` of the area, shaped like the image."""
    return _drawn("masking", images, factor, generator)


def poisson(images: Tensor, factor: Factor, generator: torch.Generator) -> Tensor:
    """Photon counts: clip(Poisson(images · P) / P, 0, 1) with P = 1 / factor²."""
    return _drawn("poisson", images, factor, generator)


def _kind(name: NoiseKind) -> Kind:
    if name not in KINDS:
        raise ValueError(f"unknown noise kind {name!r}: expected one of {', '.join(KINDS)}")
    return KINDS[name]


def _drawn(kind: NoiseKind, images: Tensor, factor: Factor, generator: torch.Generator) -> Tensor:
    """Draw on the generator's device, so that a CPU generator gives a GPU the same noise."""
    draw = torch.randn if random_kind(kind) == "normal" else torch.rand
    rand = draw(images.shape, generator=generator, device=generator.device)
    return corrupt(kind, images, factor, rand.to(images.device))


def _gaussian(images: Tensor, factor: Factor, rand: Tensor) -> Tensor:
    # Not fused into one multiply-add: a factor then gives the same bits as number and as tensor.
    return torch.mul(rand, factor).add_(images).clamp_(0, 1)


def _salt_and_pepper(images: Tensor, factor: Factor, rand: Tensor) -> Tensor:
    share = factor / 2
    salted = torch.where(rand >= 1 - share, 1.0, images)
    return torch.where(rand < share, 0.0, salted)


def _masking(images: Tensor, factor: Factor, rand: Tensor) -> Tensor:
    """Hide a rectangle; its place comes from the first two numbers of each image's `rand`.

    Pixels on its border are darkened by the part of them that is covered, which makes the hidden
    area exact and not a matter of rounding to whole pixels.
    """
    side = factor**0.5
    height, width = images.shape[-2:]
    rows = _coverage(height, side, rand[:, :1, :1, :1])
    columns = _coverage(width, side, rand[:, :1, :1, 1:2])
    return images * (1 - rows.transpose(-1, -2) * columns)


def _coverage(size: int, side: Factor, place: Tensor) -> Tensor:
    """How much of each of `size` pixels a stretch of share `side` covers, `(B, 1, 1, size)`."""
    length = side * size
    start = place * (size - length)
    pixel = torch.arange(size, device=place.device, dtype=place.dtype)
    end = torch.minimum(pixel + 1, start + length)
    return (end - torch.maximum(pixel, start)).clamp_(min=0)


def _poisson(images: Tensor, factor: Factor, rand: Tensor) -> Tensor:
    factor = torch.as_tensor(factor, dtype=torch.float64, device=images.device)
    photons = factor.clamp_min(_LEAST_POISSON_FACTOR) ** -2
    counts = _poisson_quantile(rand.double(), images.double() * photons)
    noisy = (counts / photons).clamp_(max=1).to(images.dtype)
    return torch.where(factor > 0, noisy, images)


def _poisson_quantile(rand: Tensor, rate: Tensor) -> Tensor:
    """The count k with P(X < k) <= rand < P(X <= k) for X ~ Poisson(rate), elementwise.

    Starts at the Cornish-Fisher approximation and walks to the exact count; P(X <= k) is the
    regularised upper incomplete gamma function Q(k + 1, rate), which is dear: no number that has
    arrived is looked at again.
    """
    share = (rand + _GRID / 2).clamp_(_GRID / 2, 1 - _GRID / 2)  # mid-cell: never 0 and never 1
    z: Tensor = torch.special.ndtri(share)
    count = (rate + rate.sqrt() * z + (z * z - 1) / 6).round_().clamp_(min=0)
    start = count.clone()
    left = (rate > 0).nonzero(as_tuple=True)
    while len(left[0]):
        left = _where(left, torch.special.gammaincc(count[left] + 1, rate[left]) <= share[left])
        count[left] += 1
    left = ((count == start) & (count > 0)).nonzero(as_tuple=True)
    while len(left[0]):
        left = _where(left, torch.special.gammaincc(count[left], rate[left]) > share[left])
        count[left] -= 1
        left = _where(left, count[left] > 0)
    return count


def _where(places: tuple[Tensor, ...], mask: Tensor) -> tuple[Tensor, ...]:
    """Those of the places, one index tensor per dimension, where `mask` holds."""
    return tuple(index[mask] for index in places)


KINDS: dict[str, Kind] = {
    "gaussian": Kind("normal", math.inf, _gaussian),
    "salt_pepper": Kind("uniform", 1, _salt_and_pepper),
    "masking": Kind("uniform", 1, _masking),
    "poisson": Kind("uniform", math.inf, _poisson),
}
