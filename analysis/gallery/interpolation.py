"""Walks between the codes of two images, along the straight line and along the sphere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.gallery import drawing
from analysis.gallery.drawing import Strip
from analysis.gallery.output import Output
from analysis.gallery.subject import Subject
from analysis.gallery.wording import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Codes = NDArray[np.float32]

STEPS = 11
FURTHER_PAIRS = 4
_PARALLEL = 1e-4  # radians between directions that count as one


def linear(first: Codes, second: Codes, steps: int = STEPS) -> Codes:
    """Evenly spaced codes `(steps, D)` on the straight line from `first` to `second`, `(D,)`."""
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return (1 - share) * first + share * second


def spherical(first: Codes, second: Codes, steps: int = STEPS) -> Codes:
    """The same at even angles (slerp, Shoemake 1985; White 2016 for latent spaces).

    In many dimensions a draw of the prior lies near a sphere; the straight line leaves it, this
    walk does not. Codes without two directions between them to turn (parallel, opposite or zero)
    are joined by the straight line.
    """
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    if min(lengths) == 0:
        return linear(first, second, steps)
    cosine = float(np.clip(first @ second / (lengths[0] * lengths[1]), -1, 1))
    angle = np.arccos(cosine)
    if not _PARALLEL < angle < np.pi - _PARALLEL:
        return linear(first, second, steps)
    share = np.linspace(0, 1, steps)[:, None]
    weights = np.sin((1 - share) * angle), np.sin(share * angle)
    way: Codes = ((weights[0] * first + weights[1] * second) / np.sin(angle)).astype(np.float32)
    return way


WALKS: dict[str, Callable[[Codes, Codes], Codes]] = {"linear": linear, "spherical": spherical}


@dataclass(frozen=True, eq=False)
class Walk:
    """Images `(STEPS + 2, C, H, W)`: the first original, the walk, the second original."""

    pair: tuple[int, int]
    kind: str
    images: NDArray[np.float32]


def walk(subject: Subject, pair: tuple[int, int], kind: str) -> Walk:
    """Decoded codes on the way between two clean test images, as the class of the nearer one."""
    ends = subject.codes[list(pair)]
    share = np.linspace(0, 1, STEPS)
    nearer = subject.labels[np.where(share < 0.5, *pair)]  # matters to conditional models alone
    between = subject.trained.decode(WALKS[kind](ends[0], ends[1]), nearer)
    originals = subject.clean[list(pair)].numpy()
    return Walk(pair, kind, np.concatenate([originals[:1], between, originals[1:]]))


def pairs(subject: Subject) -> list[tuple[int, int]]:
    """The gallery's pair, and the first test images of classes two by two."""
    labels = subject.labels
    firsts = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)]
    further = list(zip(firsts[0::2], firsts[1::2], strict=False))[:FURTHER_PAIRS]
    return [subject.pair, *further]


def draw_pair(subject: Subject) -> Figure:
    """R2's 08: the gallery's pair, on both ways."""
    first, second = subject.pair
    title = say("interpolation", subject.language, first=first, second=second)
    strips = [
        Strip(say(kind, subject.language), walk(subject, subject.pair, kind).images)
        for kind in WALKS
    ]
    return drawing.sheet(title, strips, _headings(subject, subject.pair))


def _headings(subject: Subject, pair: tuple[int, int]) -> list[str]:
    names = [subject.class_name(int(subject.labels[index])) for index in pair]
    shares = [f"{share:.0%}" for share in np.linspace(0, 1, STEPS)]
    return [names[0], *shares, names[1]]


def draw(subject: Subject, out: Output) -> None:
    """`interpolation_linear.png` and `interpolation_spherical.png`: several pairs each."""
    for kind in WALKS:
        walks = [walk(subject, pair, kind) for pair in pairs(subject)]
        strips = [
            Strip(" → ".join(subject.class_name(int(subject.labels[i])) for i in path.pair)
                  + f"\n{path.pair[0]} → {path.pair[1]}", path.images)
            for path in walks
        ]  # fmt: skip
        title = say("interpolations", subject.language, kind=say(kind, subject.language))
        out.figure(f"interpolation_{kind}.png", drawing.sheet(title, strips))
