"""Unpacking: an archive, of a stranger perhaps, becomes a study in a storage and its tracker.

Only plain files of known names, sizes and contents are written, all or none; nothing is unpickled
and nothing of the study is run. Reports and `reproduce` run a study's own source file, if it has
one, as the study itself did.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from studies.archive import contents
from studies.archive.contents import File, Manifest
from studies.errors import InputError

_BLOCK = 2**20  # bytes
DAMAGED = (tarfile.TarError, EOFError, zlib.error, OSError)


def read_manifest(archive: Path) -> Manifest:
    """What an archive says it holds; InputError for one that is none, or holds what it may not."""
    with _opened(archive) as tar:
        return _manifest(archive, tar)


def unpack(
    archive: Path,
    folder: Path,
    largest: int,
    accept: Callable[[Manifest], None] = lambda _: None,
) -> Manifest:
    """Put the archive's study into `folder`, which is not there yet; all of it or nothing.

    largest: bytes that it may have. accept: asked when all of it has been read and is whole; what
    it raises ends the unpacking. Raises InputError for what is damaged, too large or foreign.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        with _opened(archive) as tar:
            manifest = _manifest(archive, tar)
            if manifest.size > largest:
                raise InputError(
                    f"{archive} holds {manifest.size:,} bytes, more than {largest:,}: raise "
                    "--largest-gb if you trust it"
                )
            for file in manifest.files:
                _extract(archive, tar, file, scratch / file.name)
            if tar.next() is not None:
                raise InputError(f"{archive} holds more than its list of files says")
        accept(manifest)
        os.rename(scratch, folder)
    except DAMAGED as error:
        raise InputError(f"cannot unpack {archive} into {folder}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def holds(folder: Path, manifest: Manifest) -> bool:
    """Whether `folder` has exactly this state of the study."""
    states = {name: contents.sha256(path) for name, path in contents.packed_files(folder)}
    packed = {file.name: file.sha256 for file in manifest.files if file.name != contents.HEADER}
    return states == packed


def data_sets(folder: Path) -> list[dict[str, object]]:
    """The study's data sets, as its runs name them."""
    header = json.loads((folder / contents.HEADER).read_text("utf-8"))
    return list(header.get("data") or [])


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    with ExitStack() as opened:
        try:
            whole = opened.enter_context(gzip.open(archive))
            tar = opened.enter_context(tarfile.open(fileobj=whole, mode="r:"))
        except DAMAGED as error:
            raise InputError(f"{archive} is no packed study: {error}") from error
        yield tar


def _manifest(archive: Path, tar: tarfile.TarFile) -> Manifest:
    try:
        entry = tar.next()
        source = tar.extractfile(entry) if entry is not None and entry.isreg() else None
        if entry is None or source is None or entry.name != contents.MANIFEST:
            raise InputError(f"{archive} is no packed study: it does not begin with its list")
        if entry.size > contents.LARGEST_MANIFEST:
            raise InputError(f"{archive} is no packed study: its list has {entry.size:,} bytes")
        manifest = Manifest.model_validate_json(source.read())
    except (ValidationError, *DAMAGED) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{archive} is no packed study: {first}") from error
    _check(archive, manifest)
    return manifest


def _check(archive: Path, manifest: Manifest) -> None:
    names = [file.name for file in manifest.files]
    if manifest.format != contents.FORMAT:
        raise InputError(
            f"{archive} has format {manifest.format}, this version reads {contents.FORMAT}: "
            "unpack it with the version that packed it"
        )
    foreign = next((name for name in names if not contents.is_allowed(name)), None)
    if foreign is not None:
        raise InputError(f"{archive} holds {foreign!r}, which no study has: nothing was unpacked")
    needed = {contents.LEDGER, contents.EVENTS, contents.HEADER}
    if len(set(names)) < len(names) or not needed <= set(names):
        raise InputError(f"{archive} is no packed study: its list of files is not whole")


def _extract(archive: Path, tar: tarfile.TarFile, file: File, target: Path) -> None:
    entry = tar.next()
    if entry is None or not entry.isreg() or (entry.name, entry.size) != (file.name, file.size):
        raise InputError(f"{archive} is damaged: {file.name} is not where its list says")
    source = tar.extractfile(entry)
    assert source is not None, "a regular file has content"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as written:
        _copy(source, written)
    if contents.sha256(target) != file.sha256:
        raise InputError(f"{archive} is damaged: {file.name} is not what was packed")


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while block := source.read(_BLOCK):
        target.write(block)
