"""Train a tracked trial again, from the tracker alone, and compare: `--check` decides.

Without a trial, a whole study: its winner and its reference on fresh seeds (`retraining/claims`),
also from the one file that `python -m studies.pack` wrote.

A trial trains on a CPU, alone, with the random numbers that it drew, wherever and however that was:
shuffles, noise and latents are the same. On the same machine kind, versions and threads every
metric must be equal to the last bit; elsewhere it must agree within a stated tolerance, which is
for the order of sums and the rounding of products alone. Which of the two was asked is printed.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from studies import unpack
from studies.archive.unpacking import read_manifest
from studies.errors import InputError, StudyError
from studies.retraining.claims import affordable, claims, try_again
from studies.retraining.tracked import Original, load_data, read, run_id_of, train_again
from studies.runner import preflight, provenance
from studies.tracker.address import AddressError
from vae_trainables.numerics.precision import effective

TOLERANCE = 0.02  # relative, where bits may differ: sums are taken in another order elsewhere
DECISIVE_VERSIONS = ("torch", "numpy")


@dataclass(frozen=True)
class Comparison:
    """One metric at one epoch."""

    name: str
    epoch: int
    before: float
    again: float

    @property
    def equal(self) -> bool:
        """To the last bit."""
        return self.before == self.again

    @property
    def close(self) -> bool:
        """Within TOLERANCE, relatively."""
        return math.isclose(self.before, self.again, rel_tol=TOLERANCE, abs_tol=1e-6)


def compare(original: Original, again: dict[int, dict[str, float]]) -> list[Comparison]:
    """Every recorded point beside its repetition; one that is missing now compares with NaN."""
    return [
        Comparison(name, epoch, value, again.get(epoch, {}).get(name, math.nan))
        for name, points in sorted(original.metrics.items())
        for epoch, value in sorted(points.items())
    ]


def differences(original: Original) -> list[str]:
    """What is not as it was: any of it may change the last bits."""
    now, before = provenance.versions(), original.provenance["versions"]
    changes = [f"{n} {before[n]} → {now[n]}" for n in DECISIVE_VERSIONS if before[n] != now[n]]
    if original.device != "cpu":
        changes.append(f"trained on {original.device}, again on cpu")
        precision = original.config.optimiser.precision
        if effective(precision, torch.device("cpu")) != precision:
            changes.append(f"its products in {precision}, again in fp32")
    if original.way != "alone":
        changes.append(f"trained in a {original.way}, again alone")
    if provenance.machine()["cpu"] != original.provenance["machine"]["cpu"]:
        changes.append("another CPU")
    if provenance.code_hash() != original.provenance["code"]:
        changes.append("other code of vae_trainables")
    return changes


def verdict(rows: list[Comparison], changed: list[str]) -> tuple[bool, str]:
    """Whether it was reproduced by the standard that applies, in a sentence."""
    equal = sum(row.equal for row in rows)
    if not changed:
        text = (
            f"same machine kind, versions, code, threads: {equal} of {len(rows)} points bit-equal"
        )
        return equal == len(rows), text
    close = sum(row.close for row in rows)
    text = (
        f"not the same conditions ({', '.join(changed)}): {close} of {len(rows)} points within "
        f"{TOLERANCE:.0%}, {equal} of them bit-equal"
    )
    return close == len(rows), text


@contextmanager
def tracker_of(study: str | None, uri: str) -> Iterator[tuple[str | None, str]]:
    """A study's name and its tracker: of a packed one its own, gone with the context."""
    if study is None or not Path(study).is_file():
        preflight.tracker_answers(uri)
        yield study, uri
        return
    with tempfile.TemporaryDirectory(prefix="vae-studies-") as storage:
        own = f"sqlite:///{storage}/mlflow.db"
        name = read_manifest(Path(study)).study
        unpack.unpacked(Path(study), Path(storage), own)
        yield name, own


def whole_study(
    study: str, uri: str, seeds: int, minutes: float, data_dir: Path | None, data: str | None
) -> bool:
    """Whether what a study printed holds on fresh seeds; said configuration by configuration."""
    printed = claims(study, uri)
    fitting = affordable(printed, seeds, 60 * minutes)
    if fitting < seeds:
        print(f"{fitting} of {seeds} seeds fit into {minutes:g} minutes", file=sys.stderr)
    holds = True
    for again in try_again(printed, uri, fitting, data_dir, data):
        print(again.sentence(), flush=True)
        holds = holds and again.holds
    print(f"{study}: what was printed {'holds' if holds else 'does NOT hold'} here")
    return holds


def one_trial(
    trial: str, study: str | None, uri: str, data_dir: Path | None, data: str | None
) -> bool:
    """Whether a trial gives its figures again; said point by point."""
    original = read(run_id_of(trial, uri, study), uri)
    rows = compare(original, train_again(original, load_data(original, data_dir, data)))
    last = max(row.epoch for row in rows)
    for row in rows:
        if row.epoch == last or not row.equal:
            sign = "=" if row.equal else "≈" if row.close else "≠"
            print(f"{row.name:<18} epoch {row.epoch:>3}  {row.before:.9g} {sign} {row.again:.9g}")
    good, text = verdict(rows, differences(original))
    print(f"{'reproduced' if good else 'NOT reproduced'}: {text}")
    return good


def command(
    trial: Annotated[
        str | None,
        typer.Argument(help="A trial's run id or key, such as 0005; without, a whole --study."),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="A study's name, or the file that `python -m studies.pack` wrote. With a trial: "
            "where that is. Without: its winner and reference are trained on fresh seeds."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Of a whole study: fresh seeds of each.")] = 2,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Of a whole study: fewer seeds where these take longer.")
    ] = 15.0,
    tracking_uri: Annotated[
        str, typer.Option(help="Where the trial is recorded.", envvar="MLFLOW_TRACKING_URI")
    ] = "sqlite:///runs/mlflow.db",
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the IDX files.")] = None,
    data: Annotated[str | None, typer.Option(help="Where own images are now.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 unless it was reproduced.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Train a tracked trial again and compare every point; or a whole study, on fresh seeds."""
    try:
        with tracker_of(study, tracking_uri) as (name, uri):
            if trial is not None:
                good = one_trial(trial, name, uri, data_dir, data)
            elif name is not None:
                good = whole_study(name, uri, seeds, minutes, data_dir, data)
            else:
                raise InputError("name a trial, such as 0005, or --study NAME or PACK.tar.gz")
    except (AddressError, StudyError) as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(getattr(error, "exit_code", 2)) from error
    if check and not good:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(command)
