"""R4: samples from the prior, and what each latent dimension does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import norm

from analysis.gallery import drawing
from analysis.gallery.drawing import Strip
from analysis.gallery.output import Output
from analysis.gallery.subject import Subject
from analysis.gallery.wording import say
from analysis.tables.table import Column, Table
from vae_trainables import metrics
from vae_trainables.evaluation.evaluator import BATCH
from vae_trainables.numerics.streams import EVALUATION_SEED, Streams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float32]

SAMPLES, PER_ROW = 50, 10
SEED = 0
QUANTILES = (0.001, 0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99, 0.999)
BASES = 5  # draws of the prior beside its middle in a sheet
OVERVIEW = 64  # dimensions at most in the sheet of all
ACTIVE_VARIANCE = 0.01  # of a dimension's mean over the data: Burda et al. 2016


@dataclass(frozen=True)
class Dimension:
    """A latent dimension: mean KL in nats per image, variance of its mean over the test images."""

    number: int
    kl: float
    variance: float

    @property
    def active(self) -> bool:
        """Whether the data moves it."""
        return self.variance >= ACTIVE_VARIANCE


def samples(subject: Subject, count: int) -> Floats:
    """`count` images from the prior with a fixed seed, none left out.

    A model conditioned on the class gets the classes in turn.
    """
    return subject.prior(_draws(subject, count), _classes(subject, count))


def draw_samples(subject: Subject, count: int, columns: int) -> Figure:
    """Them in a grid."""
    return drawing.tiles(say("generated", subject.language), samples(subject, count), columns)


def _draws(subject: Subject, count: int) -> Floats:
    """Standard normal `(count, D)`."""
    rng = np.random.default_rng(SEED)
    shape = (count, subject.trained.model.noise_dim)
    return rng.standard_normal(shape, dtype=np.float32)


def _classes(subject: Subject, count: int) -> list[int] | None:
    if not subject.trained.conditional:
        return None
    return [place % subject.config.model.num_classes for place in range(count)]


@torch.inference_mode()
def dimensions(subject: Subject) -> list[Dimension]:
    """All latent dimensions, the one with the largest KL first; ties by number.

    By the evaluation's fixed draw, on which the KL of a second level depends: they sum to test/kl.
    """
    model, noisy = subject.trained.model, subject.noisy
    streams = Streams(EVALUATION_SEED, torch.device("cpu"))
    eps = streams.normal("latent", 0, (len(noisy), model.noise_dim))
    kls, all_means = [], []
    for start in range(0, len(noisy), BATCH):
        part = slice(start, start + BATCH)
        classes = None if subject.told is None else subject.told[part]
        at_mean, drawn = model.at_mean_and_draw(noisy[part], eps[part], classes)
        kls.append(drawn.kl)
        all_means.append(at_mean.z_mean)
    kl = metrics.kl_per_dimension(torch.cat(kls)).tolist()
    means = torch.cat(all_means).double()
    variance = means.var(0, unbiased=False).tolist()
    unsorted = [Dimension(i, kl[i], variance[i]) for i in range(len(kl))]
    return sorted(unsorted, key=lambda dimension: (-dimension.kl, dimension.number))


def traversal(subject: Subject, dimension: int, base: Floats) -> Floats:
    """Images `(Q, C, H, W)`: `base` `(D,)` with one dimension at each of `QUANTILES` of the prior.

    In a model of several levels the base and the quantiles are of its noise, not of z.
    """
    eps = np.repeat(base[None], len(QUANTILES), axis=0)
    eps[:, dimension] = norm.ppf(QUANTILES)
    return subject.prior(eps, _first_class(subject, len(eps)))


def _first_class(subject: Subject, count: int) -> list[int] | None:
    return None if _classes(subject, 1) is None else [0] * count


def draw_sheet(subject: Subject, dimension: Dimension, rank: int, count: int) -> Figure:
    """One dimension, from the middle of the prior and from draws of it."""
    language = subject.language
    draws = _draws(subject, BASES)
    labels = [say("draw", language, number=number + 1) for number in range(BASES)]
    bases = [(say("median", language), np.zeros_like(draws[0])), *zip(labels, draws, strict=True)]
    strips = [
        Strip(label, traversal(subject, dimension.number, base), muted=not dimension.active)
        for label, base in bases
    ]
    title = say(
        "traversal", language, dimension=dimension.number, rank=rank, count=count, kl=dimension.kl
    )
    if not dimension.active:
        title += f" ({say('inactive', language)})"
    return drawing.sheet(title, strips, _headings())


def _headings() -> list[str]:
    return [f"{100 * quantile:g} %" for quantile in QUANTILES]


def draw_overview(subject: Subject, found: list[Dimension]) -> Figure:
    """A row per dimension, the largest KL on top; at most `OVERVIEW` of them."""
    middle = np.zeros(subject.trained.model.noise_dim, np.float32)
    inactive = f"\n{say('inactive', subject.language)}"
    strips = [
        Strip(
            f"z{dimension.number}: KL {dimension.kl:.2f}" + ("" if dimension.active else inactive),
            traversal(subject, dimension.number, middle),
            muted=not dimension.active,
        )
        for dimension in found[:OVERVIEW]
    ]
    return drawing.sheet(say("traversals", subject.language), strips, _headings())


def dimensions_table(subject: Subject, found: list[Dimension]) -> Table:
    """Every dimension with its KL and whether it is active."""
    rows = [
        {
            "rank": rank,
            "dimension": dimension.number,
            "kl": dimension.kl,
            "variance": dimension.variance,
            "active": "yes" if dimension.active else "no",
        }
        for rank, dimension in enumerate(found, start=1)
    ]
    columns = (
        Column("rank", "rank", spec="d"),
        Column("dimension", "dimension", spec="d"),
        Column("kl", "KL", "nats/image", spec=".4f"),
        Column("variance", "variance of the mean", spec=".4f"),
        Column("active", "active"),
    )
    note = f"On test images. Active: variance of the mean at least {ACTIVE_VARIANCE}."
    return Table(columns, pd.DataFrame(rows), f"Latent dimensions: {subject.title}", note)


def draw(subject: Subject, out: Output) -> None:
    """`samples_50.png`, `traversals.png`, `traversals.*` and `traversals/RANK_dimN.png`."""
    out.figure(f"samples_{SAMPLES}.png", draw_samples(subject, SAMPLES, PER_ROW))
    by_kl = dimensions(subject)
    out.table("traversals", dimensions_table(subject, by_kl))
    out.figure("traversals.png", draw_overview(subject, by_kl))
    digits = len(str(len(by_kl)))
    ranked = list(enumerate(by_kl, start=1))
    for rank, dimension in out.track(ranked, "traversals"):
        name = f"traversals/{rank:0{digits}d}_dim{dimension.number}.png"
        out.figure(name, draw_sheet(subject, dimension, rank, len(by_kl)))
