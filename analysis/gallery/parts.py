"""The parts of a gallery by name. A new part is one module and one line in `PARTS`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.gallery import (
    comparison,
    denoising,
    downstream,
    generation,
    images,
    interpolation,
    latent,
    losses,
)
from analysis.gallery.output import Output, reproducible
from analysis.gallery.subject import GalleryError, Subject
from studies.tracker import names


@dataclass(frozen=True)
class Part:
    """`draw` writes the part; `unfit` says why it does not fit a run, or nothing."""

    what: str
    draw: Callable[[Subject, Output], None]
    unfit: Callable[[Subject], str] = lambda subject: ""


def _no_codes(subject: Subject) -> str:
    return "" if subject.trained.has_codes else "the model has no codes"


def _no_prior(subject: Subject) -> str:
    return "" if subject.config.model.variational else "a plain autoencoder has no prior"


def _shown_by_denoising(subject: Subject) -> str:
    shown = "06A to 06D of the denoising part show it" if subject.denoises else ""
    return _no_codes(subject) or shown


def _shown_by_grid(subject: Subject) -> str:
    drawn = subject.denoises and subject.trained.has_codes
    return "05 of the denoising part shows it" if drawn else ""


PARTS: dict[str, Part] = {
    "denoising": Part(
        "R2's twenty files", denoising.draw, lambda s: denoising.unfit(s) or _no_codes(s)
    ),
    "losses": Part("R3's loss table, R4's loss curves", losses.draw),
    "comparison": Part("R3's table VAE against AE", comparison.draw, comparison.unfit),
    "reconstruction": Part("test images and reconstructions", images.draw, _shown_by_grid),
    "latent": Part("codes in the plane", latent.draw, _shown_by_denoising),
    "downstream": Part(
        "R1's classifiers on codes and on pixels",
        downstream.draw,
        lambda s: _no_codes(s) or downstream.unfit(s),
    ),
    "generation": Part("R4's 50 samples and traversals", generation.draw, _no_prior),
    "interpolation": Part("linear and spherical", interpolation.draw, _no_codes),
}


def named(only: str) -> list[str]:
    """The parts of a list with commas, in their order. Raises GalleryError for an unknown one."""
    listed = [name.strip() for name in only.split(",")]
    for name in listed:
        if name not in PARTS:
            raise GalleryError(f"--only {name!r} is unknown: {', '.join(PARTS)}")
    return [name for name in PARTS if name in listed]


def draw(subject: Subject, out: Output, only: Sequence[str] | None = None) -> None:
    """Draw the parts that fit the run, or exactly those in `only`.

    Raises GalleryError if one of `only` does not fit.
    """
    for name in only or ():
        if reason := PARTS[name].unfit(subject):
            raise GalleryError(f"there is no {name} part of trial {subject.trial}: {reason}")
    if subject.record.tags.get(names.PHASE) == "search":
        out.remark(
            f"trial {subject.trial} is of the search: these are test images, choose nothing by them"
        )
    with reproducible(subject.config.threads), out.showing_progress():
        for name in only or PARTS:
            part = PARTS[name]
            if reason := part.unfit(subject):
                out.remark(f"{name}: left out, {reason}")
                continue
            before, started = len(out.files), time.perf_counter()
            part.draw(subject, out)
            seconds = time.perf_counter() - started
            out.say(f"{name}: {len(out.files) - before} files in {seconds:.0f} s")
