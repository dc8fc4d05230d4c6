"""Denoise a person's own images with a published model.

python -m analysis.denoise photo.png --model models:/NAME@champion --out clean
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from analysis.command import WHERE, Debug, TrackingUri, one_line_errors, quiet_libraries
from analysis.models import own_images
from analysis.models.address import ModelAddress, open_denoiser
from analysis.models.own_images import RULES, SUFFIXES, Floats, Invert, OwnImageError, Prepared
from analysis.tracker.client import TrackerError

if TYPE_CHECKING:
    from vae_trainables.inference import Denoiser

OVERVIEW = "overview.png"
OVERVIEW_IMAGES = 16
ENLARGED = 4  # times, in the overview


@dataclass(frozen=True, eq=False)
class Done:
    """A file that was denoised; `clean` as the model gave it, inverted where it was for it."""

    source: Prepared
    clean: Floats
    target: Path


def find(inputs: Sequence[Path], out: Path) -> tuple[list[Path], int]:
    """The files to read, folders opened (not their folders), and how many other files they hold.

    Raises OwnImageError for an input that is not there, a folder without images, or one that is
    also the output.
    """
    files: list[Path] = []
    others = 0
    for path in inputs:
        if not path.exists():
            raise OwnImageError(f"there is no file or folder {path}")
        if not path.is_dir():
            files.append(path)
            continue
        if path.resolve() == out.resolve():
            raise OwnImageError(f"{path} is also --out; write to another folder")
        here = sorted(file for file in path.iterdir() if file.is_file())
        images = [file for file in here if file.suffix.lower() in {*SUFFIXES, ".npy"}]
        if not images:
            raise OwnImageError(f"{path}: a folder without images ({', '.join(sorted(SUFFIXES))})")
        files += images
        others += len(here) - len(images)
    return files, others


def targets(files: Iterable[Path], out: Path) -> dict[Path, Path]:
    """Where each file's result goes: `NAME-clean.png` or `.npy`, no two the same."""
    results: dict[Path, Path] = {}
    taken: set[str] = set()
    for path in files:
        ending = ".npy" if path.suffix.lower() == ".npy" else ".png"
        stem = name = f"{path.stem}-clean"
        number = 2
        while name + ending in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name + ending)
        results[path] = out / (name + ending)
    return results


def denoise(
    files: Sequence[Path],
    out: Path,
    denoiser: Denoiser,
    invert: Invert = "no",
    label: int | None = None,
) -> Iterator[Done | OwnImageError]:
    """Denoise file by file; yields what was written, or why a file was refused.

    label: the class of every image, for a model that is told classes; None: it predicts them.
    """
    out.mkdir(parents=True, exist_ok=True)
    channels, *size = denoiser.config.model.image_shape
    for path, target in targets(files, out).items():
        try:
            source = own_images.read(
                path, size=(size[0], size[1]), channels=channels, invert=invert
            )
        except OwnImageError as error:
            yield error
            continue
        labels = [] if label is None else [[label] * len(source.images)]
        clean = denoiser.denoise(source.images, *labels)  # an older model's own code takes none
        mirrored = source.inverted.reshape(-1, *[1] * (clean.ndim - 1))
        result = np.where(mirrored, 1 - clean, clean)
        if source.is_array:
            np.save(target, result.reshape(source.shape))
        else:
            _save(result[0], target)
        yield Done(source, clean, target)


def _save(image: Floats, path: Path) -> None:
    """`(H, W)` or `(C, H, W)`."""
    from PIL import Image

    image = image.transpose(1, 2, 0) if image.ndim == 3 else image
    Image.fromarray((image * 255).round().astype(np.uint8)).save(path)


def overview(done: Sequence[Done]) -> Floats:
    """The first images, above as the model saw them, below clean; `([C,] 2 H, N W)` enlarged."""
    seen = np.concatenate([result.source.images for result in done])[:OVERVIEW_IMAGES]
    clean = np.concatenate([result.clean for result in done])[:OVERVIEW_IMAGES]
    rows = [np.concatenate(list(images), -1) for images in (seen, clean)]
    return np.concatenate(rows, -2).repeat(ENLARGED, -2).repeat(ENLARGED, -1)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=f"Denoise your own images, of any size, with a published model.\n\n{RULES}")
def main(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Pictures, .npy arrays, or folders.")
    ],
    model: ModelAddress,
    out: Annotated[
        Path, typer.Option(help="Folder for the results.", rich_help_panel=WHERE)
    ] = Path("clean"),
    invert: Annotated[
        Invert,
        typer.Option(
            help="Swap dark and bright for the model; auto: where the border is mostly bright."
        ),
    ] = "no",
    label: Annotated[
        int | None,
        typer.Option(
            help="The class of all the images, for a model that is told classes; without it they "
            "are predicted from the images."
        ),
    ] = None,
    tracking_uri: TrackingUri = None,
    debug: Debug = False,
) -> None:
    """See `app.command` for the help text."""
    quiet_libraries()
    with one_line_errors(TrackerError, OwnImageError, OSError, debug=debug):
        files, others = find(inputs, out)
        denoiser = open_denoiser(model, tracking_uri)
        _check_label(label, denoiser, model)
        done = [result for result in _told(denoise(files, out, denoiser, invert, label)) if result]
        if others:
            typer.echo(f"left out: {others} files that are no images")
        if done:
            _save(overview(done), out / OVERVIEW)
            typer.echo(f"to look at: {out / OVERVIEW}")
    if len(done) < len(files):
        raise typer.Exit(1 if done else 2)


def _check_label(label: int | None, denoiser: Denoiser, model: str) -> None:
    """Raise OwnImageError for a label that the model does not take, or lacks."""
    conditional = getattr(denoiser, "conditional", False)
    classes = denoiser.config.model.num_classes
    if label is not None and not conditional:
        raise OwnImageError(f"--label {label}: {model} is told no classes; leave the label out")
    if label is not None and not 0 <= label < classes:
        raise OwnImageError(f"--label {label}: the classes of {model} are 0 to {classes - 1}")
    if label is None and conditional and denoiser.classifier is None:
        raise OwnImageError(f"{model} is told classes and cannot predict them: give --label")


def _told(results: Iterable[Done | OwnImageError]) -> Iterator[Done | None]:
    """Pass the results on, None for a refusal, saying each."""
    for result in results:
        if isinstance(result, OwnImageError):
            typer.echo(f"refused: {result}", err=True)
            yield None
        else:
            typer.echo(f"{result.source.path}: {', '.join(result.source.steps)} -> {result.target}")
            yield result


if __name__ == "__main__":
    app()
