"""`python -m studies.unpack STUDY.tar.gz`: a packed study into a storage and its tracker."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from studies.archive import telling, unpacking
from studies.errors import InputError, StudyError
from studies.ledger.ledger import study_folder
from studies.tracker import address
from studies.tracker.sender import set_up_mlflow

LARGEST = 20 * 10**9  # bytes


def main(
    archive: Annotated[Path, typer.Argument(help="What `python -m studies.pack` wrote.")],
    storage: Annotated[Path, typer.Option(help="Where the study goes.")] = Path("runs"),
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            envvar=address.VARIABLE,
            help="The tracker that is told of it. [default: STORAGE/mlflow.db]",
        ),
    ] = None,
    largest_gb: Annotated[float, typer.Option(help="Refuse what unpacks to more.")] = LARGEST / 1e9,
) -> None:
    """Unpack a study and tell a tracker of it; doing it twice changes nothing.

    `--resume` goes on in the new place; reports, gallery and publish work as in the old one.
    """
    try:
        uri = tracking_uri or f"sqlite:///{storage.absolute()}/mlflow.db"
        folder = unpacked(archive, storage, uri, int(largest_gb * 1e9))
    except (address.AddressError, StudyError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(getattr(error, "exit_code", 2)) from error
    print(f"{folder}: unpacked; its runs are in {address.redact(uri)}")


def unpacked(archive: Path, storage: Path, uri: str, largest: int = LARGEST) -> Path:
    """The folder of the archive's study in `storage`, its tracker told; at most `largest` bytes.

    Raises AddressError and StudyError.
    """
    address.check(uri)
    set_up_mlflow()
    manifest = unpacking.read_manifest(archive)
    folder = study_folder(storage.absolute(), manifest.study)
    if folder.exists() and not unpacking.holds(folder, manifest):
        raise InputError(
            f"{folder} holds another state of this study, or another one: unpack into another "
            "--storage"
        )
    accept = partial(telling.check, uri, folder)
    if folder.exists():
        accept(manifest)
    else:
        unpacking.unpack(archive, folder, largest, accept)
    telling.tell(uri, folder, manifest.study)
    return folder


if __name__ == "__main__":
    typer.run(main)
