"""`python -m vae_trainables.datasets fetch NAME | check NAME-OR-PATH`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from vae_trainables.datasets import named, published, sheet
from vae_trainables.datasets.contents import listed
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.source import Source, open_source
from vae_trainables.datasets.splits import Split

SETS = (*published.NAMES, *named.NAMED)


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 if all is well, 2 with one line on stderr if not."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        lines = _fetch(options) if options.action == "fetch" else _check(options)
        for line in lines:
            print(line)
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vae_trainables.datasets",
        description="Get a data set onto this machine, or say what is understood of one.",
    )
    parser.add_argument("action", choices=("fetch", "check"), help="check downloads nothing")
    parser.add_argument("name", metavar="NAME", help=f"{', '.join(SETS)}; for check also a path")
    parser.add_argument(
        "--data-dir", metavar="DIR", help="a folder with IDX files; fetch copies them into it"
    )
    parser.add_argument(
        "--resize", default="auto", help="auto, N or HxW, with :pad, :crop or :stretch"
    )
    parser.add_argument("--sheet", metavar="FILE", help="write a contact sheet, a PNG, there")
    return parser


def _fetch(options: argparse.Namespace) -> Iterator[str]:
    if options.name in named.NAMED:
        place = named.locate(options.name, None, download=True)
        yield f"{options.name} is in {place}"
        return
    if options.name not in published.NAMES:
        raise DataError(f"unknown data set {options.name!r}: expected one of {', '.join(SETS)}")
    yield f"{options.name} is in {published.fetch(options.name, options.data_dir)}"


def _check(options: argparse.Namespace) -> Iterator[str]:
    if options.name in published.NAMES:
        yield from published.check(options.name, options.data_dir)
        if options.sheet:
            splits = published.load_splits(options.name, published.SPLITS, options.data_dir)
            yield from _sheet(options.sheet, splits)
        return
    folder = Path(options.data_dir).expanduser() if options.data_dir else None
    if options.name in named.NAMED:
        named.locate(options.name, folder, download=False)
    source = open_source(options.name, data_dir=folder, resize=options.resize)
    yield from understood(source)
    if options.sheet:
        yield from _sheet(options.sheet, source.splits())


def understood(source: Source) -> Iterator[str]:
    """What was made of own data, in lines for the user."""
    splits = source.splits()
    if source.is_published:
        yield f"{source.dataset}: the published files"
    else:
        yield f"{source.dataset}: {source.own.format}"
    shape = splits["train"].images.shape[1:]
    colour = "grey" if shape[0] == 1 else "colour"
    yield f"images: {shape[1]} × {shape[2]} pixels, {colour}"
    yield f"classes: {_classes(splits['train'])}"
    for name, split in splits.items():
        yield f"{name:5} {_line(split)}"
    if not source.is_published:
        yield from (f"note: {note}" for note in source.own.notes)


def _classes(split: Split) -> str:
    if not split.labelled:
        return "none (no labels)"
    return f"{len(split.classes)} ({listed(split.classes, 12)})"


def _line(split: Split) -> str:
    values = f"values {int(split.images.min())} to {int(split.images.max())}"
    counts = split.labels.bincount(minlength=len(split.classes))
    spread = f", {counts.min()} to {counts.max()} per class" if split.labelled else ""
    return f"{len(split):6} images{spread}, {values}, fingerprint {split.fingerprint()}"


def _sheet(path: str, splits: dict[str, Split]) -> Iterator[str]:
    sheet.write(Path(path), splits)
    yield f"to look at: {path}"
