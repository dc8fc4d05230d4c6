"""`python -m analysis.gallery TRIAL --out DIR`: every figure of the reference systems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.classes import Language
from analysis.command import WHERE, Debug, TrackingUri, one_line_errors, quiet_libraries

WHAT = "What to draw"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    run_id: Annotated[
        str,
        typer.Argument(
            help="A trial's key, such as 0005, or its MLflow run id or first digits of that.",
            metavar="TRIAL",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files.", rich_help_panel=WHERE)],
    labels: Annotated[
        Language, typer.Option(help="Language of class names and titles.", rich_help_panel=WHAT)
    ] = "tr",
    only: Annotated[
        str | None,
        typer.Option(
            help="Parts, with commas: denoising (R2's twenty files), losses, comparison, "
            "reconstruction, latent, downstream, generation, interpolation; default: all that fit.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(
            help="Two test images to walk between, such as 892,7739.", rich_help_panel=WHAT
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="The trial's study, where several have one of that key.", rich_help_panel=WHERE
        ),
    ] = None,
    tracking_uri: TrackingUri = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the IDX files; default: the study's.", rich_help_panel=WHERE
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Own images; default: where the study took them.", rich_help_panel=WHERE),
    ] = None,
    debug: Debug = False,
) -> None:
    """Draw every figure and table of the reference systems for one trial's stored checkpoint."""
    # Imported late: with --help nobody waits for torch.
    from analysis.gallery import parts
    from analysis.gallery.output import Output
    from analysis.gallery.subject import GalleryError, open_subject
    from analysis.models.trained import WeightsError
    from analysis.tracker.client import TrackerError
    from vae_trainables.datasets import DataError

    quiet_libraries()
    bad_input = (GalleryError, TrackerError, WeightsError, DataError, OSError)
    with one_line_errors(*bad_input, debug=debug):
        part_names = None if only is None else parts.named(only)
        subject = open_subject(
            run_id,
            study=study,
            tracking_uri=tracking_uri,
            data_dir=data_dir,
            data=data,
            language=labels,
            pair=None if pair is None else _indices(pair),
        )
        written = Output(out)
        parts.draw(subject, written, part_names)
        written.index(f"Trial {subject.trained.trial}")
    typer.echo(f"gallery: {len(written.files)} files in {out}")


def _indices(text: str) -> tuple[int, int]:
    from analysis.gallery.subject import GalleryError

    indices = text.split(",")
    if len(indices) != 2 or not all(number.strip().isdigit() for number in indices):
        raise GalleryError(f"--pair is {text!r}; give two indices such as 892,7739")
    return int(indices[0]), int(indices[1])


if __name__ == "__main__":
    app(prog_name="python -m analysis.gallery")
