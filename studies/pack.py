"""`python -m studies.pack STUDY`: a study in one file, to carry home or to hand on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from studies.archive.packing import pack
from studies.errors import StudyError
from studies.ledger.ledger import study_folder


def main(
    study: Annotated[str, typer.Argument(help="The study's name.")],
    storage: Annotated[Path, typer.Option(help="Where it is.")] = Path("runs"),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="[default: STUDY.tar.gz]")] = None,
) -> None:
    """Pack a study: ledger, everything its tracker was told, weights, records.

    Equal studies give equal files. Addresses of trackers, and what is secret in them, stay here.
    """
    folder = study_folder(storage.absolute(), study)
    archive = out or Path(f"{folder.name}.tar.gz")
    try:
        manifest = pack(folder, archive)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    size = archive.stat().st_size
    print(f"{archive}: {len(manifest.files)} files, {manifest.size:,} bytes in {size:,}")


if __name__ == "__main__":
    typer.run(main)
