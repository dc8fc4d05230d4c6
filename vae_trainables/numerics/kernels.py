"""Triton kernels for CUDA: the counter-based random numbers, input noise and Adam, one pass each.

What they compute is specified by `philox`, `datasets.noise` and `cohort.adam`, whose form in
torch's own operations is also what is used where Triton cannot run (`fast`). Random words are
equal bit for bit, what is made of them up to the last bits of float32.

Seeds and steps are read from the device, one per slot, so that a captured CUDA graph draws fresh
numbers on each replay. Importing this module needs Triton, launching also a C compiler, which
Triton builds its launcher with.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 256  # Philox blocks per program, four numbers each
_PIXELS = 1024  # elements per program where each is computed for itself
_TURN = tl.constexpr(2.0 * math.pi * 2.0**-32)
NOISE_KINDS = ("gaussian", "salt_pepper", "masking")
"""Kinds with a kernel; poisson's search for a quantile has none."""


def launch(kernel: Any, grid: tuple[int, int], *arguments: object, **constants: object) -> None:
    """Run `kernel` on the device of its first argument, which need not be the current one.

    Products and sums are rounded one by one, as torch's own operations round them.
    """
    with torch.cuda.device_of(arguments[0]):
        kernel[grid](*arguments, **constants, enable_fp_fusion=False)


@triton.jit
def words(block, seed, stream, step):
    """Philox-4x32-10's words of counter (block, step, 0, 0) and key (seed, stream), uint32."""
    c0 = block.to(tl.uint32)
    zero = tl.zeros_like(c0)
    c1, k0, k1 = zero + step.to(tl.uint32), zero + seed.to(tl.uint32), zero + stream
    return tl.philox_impl(c0, c1, zero, zero, k0, k1.to(tl.uint32))


@triton.jit
def _uniform(word):
    return (word >> 8).to(tl.float32) * 5.9604644775390625e-08  # 2**-24


@triton.jit
def _pair(radius_word, angle_word):
    """Two normal numbers, as `philox.normal` makes them."""
    share = (radius_word.to(tl.float32) + 0.5) * 2.3283064365386963e-10  # 2**-32
    radius = tl.sqrt_rn(-2.0 * tl.log(share))
    angle = angle_word.to(tl.float32) * _TURN
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def _lanes(block, seed, stream, step, NORMAL: tl.constexpr):  # noqa: N803
    """The four numbers of each block."""
    w0, w1, w2, w3 = words(block, seed, stream, step)
    if NORMAL:
        a, b = _pair(w0, w1)
        c, d = _pair(w2, w3)
        return a, b, c, d
    else:  # noqa: RET505 - Triton compiles one branch only
        return _uniform(w0), _uniform(w1), _uniform(w2), _uniform(w3)


@triton.jit
def _at(element, seed, stream, step, NORMAL: tl.constexpr):  # noqa: N803
    """Single numbers of a stream."""
    a, b, c, d = _lanes(element // 4, seed, stream, step, NORMAL)
    lane = element % 4
    return tl.where(lane < 2, tl.where(lane == 0, a, b), tl.where(lane == 2, c, d))


@triton.jit(do_not_specialize=["stream", "count"])  # so that what `fast` tries is all there is
def fill(out, seeds, steps, stream, count, NORMAL: tl.constexpr, BLOCK: tl.constexpr):  # noqa: N803
    """out (slots, count): the first `count` numbers of each slot's stream at its step."""
    slot, first = tl.program_id(1), tl.program_id(0) * BLOCK
    seed, step = tl.load(seeds + slot), tl.load(steps + slot)
    block = first + tl.arange(0, BLOCK)
    a, b, c, d = _lanes(block, seed, stream, step, NORMAL)
    values = tl.interleave(tl.interleave(a, c), tl.interleave(b, d))
    element = first * 4 + tl.arange(0, 4 * BLOCK)
    tl.store(out + slot.to(tl.int64) * count + element, values, mask=element < count)


@triton.jit(do_not_specialize=["stream"])
def fill_rows(out, seeds, steps, widths, stream, rows, columns, BLOCK: tl.constexpr):  # noqa: N803
    """out (slots, rows, columns): normal numbers in rows of each slot's own width, then zeros."""
    slot = tl.program_id(1)
    seed, step, width = tl.load(seeds + slot), tl.load(steps + slot), tl.load(widths + slot)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column = place // columns, place % columns
    values = _at(row * width.to(tl.int32) + column, seed, stream, step, True)
    values = tl.where(column < width, values, 0.0)
    count = rows * columns
    tl.store(out + slot.to(tl.int64) * count + place, values, mask=place < count)


@triton.jit
def _covered(pixel, size, side, place):
    """How much of a pixel a stretch of share `side` covers, as `noise._coverage`."""
    length = side * size
    start = place * (size - length)
    end = tl.minimum(pixel + 1.0, start + length)
    return tl.maximum(end - tl.maximum(pixel.to(tl.float32), start), 0.0)


@triton.jit(do_not_specialize=["noise_stream", "factor_stream"])
def corrupt(
    out, clean, seeds, steps, factors, spans, noise_stream, factor_stream, images, size, height,
    width, KIND: tl.constexpr, RANGED: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """out: clean (slots, images, size) with noise; factors, spans: (slots,), as `SlotVectors`."""
    slot, first = tl.program_id(1), tl.program_id(0) * BLOCK
    seed, step = tl.load(seeds + slot), tl.load(steps + slot)
    element = first * 4 + tl.arange(0, 4 * BLOCK)
    count = images * size
    base = slot.to(tl.int64) * count
    pixels = tl.load(clean + base + element, mask=element < count, other=0.0)
    image = element // size
    factor = tl.load(factors + slot) + tl.zeros_like(pixels)
    if RANGED:
        share = _at(image, seed, factor_stream, step, False)
        factor = factor + tl.load(spans + slot) * share
    if KIND == "masking":
        inside = element - image * size
        side = tl.sqrt_rn(factor)
        row, column = (inside // width) % height, inside % width
        tall = _covered(row, height, side, _at(image * size, seed, noise_stream, step, False))
        wide = _covered(column, width, side, _at(image * size + 1, seed, noise_stream, step, False))
        noisy = pixels * (1.0 - tall * wide)
    else:
        block = first + tl.arange(0, BLOCK)
        a, b, c, d = _lanes(block, seed, noise_stream, step, KIND == "gaussian")
        drawn = tl.interleave(tl.interleave(a, c), tl.interleave(b, d))
        if KIND == "gaussian":
            noisy = tl.minimum(tl.maximum(drawn * factor + pixels, 0.0), 1.0)
        else:
            half = factor / 2.0
            salted = tl.where(drawn >= 1.0 - half, 1.0, pixels)
            noisy = tl.where(drawn < half, 0.0, salted)
    tl.store(out + base + element, noisy, mask=element < count)


@triton.jit
def adam(
    weights, gradients, exp_avg, exp_avg_sq, steps, lr, weight_decay, row, size,
    BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr, DECOUPLED: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """One parameter of all slots: gradients (slots, size), the others in rows `row` apart.

    Gradients may be bfloat16.
    """
    slot = tl.program_id(1)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    here = slot.to(tl.int64) * row + place
    count = tl.load(steps + slot).to(tl.float64)
    rate, decay = tl.load(lr + slot), tl.load(weight_decay + slot)
    one, beta1, beta2 = count * 0 + 1, count * 0 + BETA1, count * 0 + BETA2  # float64
    step_size = (rate / (one - tl.exp(count * tl.log(beta1)))).to(tl.float32)
    correction = tl.sqrt(one - tl.exp(count * tl.log(beta2))).to(tl.float32)
    gradient = tl.load(gradients + slot.to(tl.int64) * size + place, mask=inside, other=0.0)
    gradient = gradient.to(tl.float32)
    weight = tl.load(weights + here, mask=inside, other=0.0)
    if DECOUPLED:
        weight = weight * (one - rate * decay).to(tl.float32)
    else:
        gradient = gradient + weight * decay.to(tl.float32)
    first = tl.load(exp_avg + here, mask=inside, other=0.0)
    second = tl.load(exp_avg_sq + here, mask=inside, other=0.0)
    first = first + (1.0 - BETA1) * (gradient - first)
    second = second * BETA2 + (1.0 - BETA2) * gradient * gradient
    weight = weight - first * step_size / (tl.sqrt_rn(second) / correction + EPS)
    tl.store(exp_avg + here, first, mask=inside)
    tl.store(exp_avg_sq + here, second, mask=inside)
    tl.store(weights + here, weight, mask=inside)


def normal(seed: Tensor, stream: int, step: Tensor, count: int) -> Tensor:
    """As `philox.normal`."""
    return _filled(seed, stream, step, count, normal=True)


def uniform(seed: Tensor, stream: int, step: Tensor, count: int) -> Tensor:
    """As `philox.uniform`."""
    return _filled(seed, stream, step, count, normal=False)


def _filled(seed: Tensor, stream: int, step: Tensor, count: int, *, normal: bool) -> Tensor:
    out = torch.empty(*seed.shape, count, device=seed.device)
    grid = triton.cdiv(count, 4 * _BLOCK), seed.numel()
    launch(fill, grid, out, seed, step, stream, count, NORMAL=normal, BLOCK=_BLOCK)
    return out


def normal_rows(
    seeds: Tensor, stream: int, steps: Tensor, widths: Tensor, shape: tuple[int, int]
) -> Tensor:
    """Standard normal (slots, *shape), in each slot row after row of its own width, then zeros.

    seeds, steps, widths: int64 (slots,); shape: rows and columns, at least the widest.
    """
    rows, columns = shape
    out = torch.empty(len(seeds), rows, columns, device=seeds.device)
    grid = triton.cdiv(rows * columns, _PIXELS), len(seeds)
    launch(fill_rows, grid, out, seeds, steps, widths, stream, rows, columns, BLOCK=_PIXELS)
    return out


def corrupted(
    kind: str,
    clean: Tensor,
    keys: tuple[Tensor, Tensor],
    streams: tuple[int, int],
    factors: Tensor,
    spans: Tensor | None,
) -> Tensor:
    """clean (slots, B, C, H, W) with noise of one of `NOISE_KINDS`, each slot's in one pass.

    keys: seeds and steps, int64 (slots,); streams: numbers of the noise and of the factors.
    factors: (slots,); spans, likewise: each image's factor is uniform in factor + [0, span).
    """
    slots, images, _, height, width = clean.shape
    clean = clean.contiguous()
    out = torch.empty_like(clean)
    size = clean[0, 0].numel()
    grid = triton.cdiv(images * size, 4 * _BLOCK), slots
    ranged = spans is not None
    launch(
        corrupt, grid, out, clean, *keys, factors, spans if ranged else factors, *streams,
        images, size, height, width, KIND=kind, RANGED=ranged, BLOCK=_BLOCK,
    )  # fmt: skip
    return out


def adam_(
    weights: Tensor,
    gradients: Tensor,
    moments: tuple[Tensor, Tensor],
    steps: Tensor,
    rates: tuple[Tensor, Tensor],
    *,
    betas: tuple[float, float],
    eps: float,
    decoupled: bool,
) -> None:
    """Adam's step of one parameter in all slots, in place; as `cohort.adam.flat_adam_`.

    weights, moments: views (slots, *shape) of buffers whose rows are equally far apart; steps:
    float32 (slots,), counted up already; rates: learning rate and weight decay, float64 (slots,).
    """
    size = weights[0].numel()
    launch(
        adam, (triton.cdiv(size, _PIXELS), len(weights)), weights, gradients.contiguous(),
        *moments, steps, *rates, weights.stride(0), size, BETA1=betas[0], BETA2=betas[1],
        EPS=eps, DECOUPLED=decoupled, BLOCK=_PIXELS,
    )  # fmt: skip
