"""The same test images before and after the model: R2's 05 and everyone's reconstructions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from analysis.gallery import drawing
from analysis.gallery.drawing import Strip
from analysis.gallery.output import Output
from analysis.gallery.subject import Subject
from analysis.gallery.wording import say
from vae_trainables import metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 10


def chosen(subject: Subject) -> list[int]:
    """The first test image of each class, then further ones, at most `SHOWN`, by class."""
    labels = subject.labels
    rank = np.zeros(len(labels), dtype=int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    first = np.lexsort((labels, rank))[:SHOWN]
    indices: list[int] = first[np.lexsort((rank[first], labels[first]))].tolist()
    return indices


def strips(subject: Subject) -> tuple[Strip, ...]:
    """Rows noisy (or input), reconstruction, clean; PSNR in dB below the first two."""
    indices, language = torch.tensor(chosen(subject)), subject.language
    clean = subject.clean[indices]
    first = "noisy" if subject.denoises else "input"
    rows = ((first, subject.noisy[indices]), ("reconstruction", subject.restored[indices]))
    drawn = [
        Strip(say(name, language), images.numpy(), _psnr(images, clean)) for name, images in rows
    ]
    if not subject.denoises:
        return Strip(drawn[0].label, drawn[0].images), drawn[1]
    return *drawn, Strip(say("clean", language), clean.numpy())


def _psnr(images: torch.Tensor, clean: torch.Tensor) -> tuple[str, ...]:
    return tuple(f"{value:.1f}" for value in metrics.psnr(images, clean).tolist())


def grid(subject: Subject) -> Figure:
    """Them under the classes' names."""
    config, language = subject.config, subject.language
    names = [subject.class_name(int(subject.labels[index])) for index in chosen(subject)]
    if subject.denoises:
        factor = config.evaluation.noise_factor
        title = say("denoising", language, data=config.data.dataset, factor=factor)
    else:
        title = say("reconstructions", language, data=config.data.dataset)
    return drawing.sheet(title, strips(subject), names)


def draw(subject: Subject, out: Output) -> None:
    """`reconstructions.png`."""
    out.figure("reconstructions.png", grid(subject))
