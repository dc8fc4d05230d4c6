"""`python -m studies.confirm_again NAME`: does what a study printed hold on fresh seeds, here?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from studies.errors import StudyError
from studies.retraining.claims import claims, try_again
from studies.runner import preflight


def command(
    study: Annotated[str, typer.Argument(help="A confirmed study, such as one just unpacked.")],
    seeds: Annotated[int, typer.Option(min=1, help="Fresh seeds of winner and reference.")] = 2,
    tracking_uri: Annotated[
        str, typer.Option(help="Where it is recorded.", envvar="MLFLOW_TRACKING_URI")
    ] = "sqlite:///runs/mlflow.db",
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the IDX files.")] = None,
    data: Annotated[str | None, typer.Option(help="Where own images are now.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 unless all of it holds.")
    ] = False,
) -> None:
    """Train a study's winner and reference on fresh seeds: does what it printed hold?"""
    try:
        preflight.tracker_answers(tracking_uri)
        tried = []
        for again in try_again(claims(study, tracking_uri), tracking_uri, seeds, data_dir, data):
            tried.append(again)
            print(again.sentence(), flush=True)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    if check and not all(again.holds for again in tried):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(command)
