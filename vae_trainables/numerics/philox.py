"""Counter-based random numbers: pure functions of (seed, stream, step, element), without state.

Philox-4x32-10 (Salmon et al. 2011, Random123) in torch's integer operations. Seed and step may be
tensors, one per trial of a cohort: a captured CUDA graph then draws fresh numbers on each replay
because its step advances on the device, and each trial's numbers are those it would draw alone.

Counter: (block, step, 0, 0), key: (seed, stream). A block holds four elements.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Words = tuple[Tensor, Tensor, Tensor, Tensor]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF


def philox4x32(counter: Words, key: tuple[Tensor, Tensor], rounds: int = 10) -> Words:
    """Four random words from four counter words and two key words.

    All are int64 tensors with values in [0, 2**32) that broadcast against each other.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high1, low1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _KEY_STEPS[0]) & _MASK, (k1 + _KEY_STEPS[1]) & _MASK
    return c0, c1, c2, c3


def _multiply(word: Tensor, multiplier: int) -> tuple[Tensor, Tensor]:
    """High and low word of the product; int64 wraps around, which keeps all 64 bits of it."""
    product = word * multiplier
    return (product >> 32) & _MASK, product & _MASK


def uniform(seed: Tensor, stream: int, step: Tensor, count: int) -> Tensor:
    """float32 uniform in [0, 1), multiples of 2**-24.

    seed, step: int64 of any one shape S, in [0, 2**32); the result is S + (count,).
    """
    words = _words(seed, stream, step, blocks=math.ceil(count / 4))
    return _in_order([(word >> 8).to(torch.float32) * 2.0**-24 for word in words], count)


def normal(seed: Tensor, stream: int, step: Tensor, count: int) -> Tensor:
    """float32 standard normal, S + (count,); arguments as of `uniform`. Box & Muller 1958.

    A word's 32 bits make the radius, so that |value| reaches 6.7, not the 5.7 of 24 bits.
    """
    words = _words(seed, stream, step, blocks=math.ceil(count / 4))
    values: list[Tensor] = []
    for radius_word, angle_word in (words[:2], words[2:]):
        # Half a step above the grid: a word of 0 must not become log(0).
        share = (radius_word.to(torch.float32) + 0.5) * 2.0**-32
        radius = torch.sqrt(-2.0 * torch.log(share))
        angle = angle_word.to(torch.float32) * (2.0 * math.pi * 2.0**-32)
        values += [radius * torch.cos(angle), radius * torch.sin(angle)]
    return _in_order(values, count)


def permutation(seed: Tensor, stream: int, step: Tensor, count: int) -> Tensor:
    """Orders of `count` things, int64 S + (count,): they are sorted by random 63-bit keys."""
    words = _words(seed, stream, step, blocks=math.ceil(count / 2))
    keys = _in_order(
        [(words[0] << 31) | (words[1] >> 1), (words[2] << 31) | (words[3] >> 1)], count
    )
    return torch.argsort(keys, dim=-1, stable=True)


def _words(seed: Tensor, stream: int, step: Tensor, *, blocks: int) -> Words:
    """The words of blocks 0, 1, ..., each S + (blocks,)."""
    block = torch.arange(blocks, device=seed.device)
    zero = torch.zeros_like(block)
    key = seed.unsqueeze(-1), torch.full_like(seed, stream).unsqueeze(-1)
    return philox4x32((block, step.unsqueeze(-1), zero, zero), key)


def _in_order(lanes: list[Tensor], count: int) -> Tensor:
    """Element e is lane e % len(lanes) of block e // len(lanes)."""
    return torch.stack(lanes, dim=-1).flatten(-2)[..., :count]
