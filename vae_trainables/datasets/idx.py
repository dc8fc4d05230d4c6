"""The IDX file format: reading within limits, writing, and the checksum of a file's plain bytes.

Layout: two zero bytes, the type of the values (8 = uint8, the only one accepted here), the number
of dimensions, each dimension as a big-endian uint32, then the values in row-major order. Files may
be gzipped, which is told from their content: names in the wild are not to be trusted.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from io import BufferedIOBase, BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UINT8 = 8
GZIP_MAGIC = b"\x1f\x8b"
LARGEST_FILE = 2**30  # bytes, packed or not: more than a million images of 28 × 28
DEFLATE_RATIO = 1032  # no deflate stream expands further
CONTENTS = {1: "labels", 3: "images"}  # by number of dimensions


class DataError(ValueError):
    """Data that is missing or is not what it should be; says what was expected and found."""


def read_idx(path: Path, dims: int) -> NDArray[np.uint8]:
    """Read a plain or gzipped IDX file of uint8 values, as a read-only array.

    Args:
        path: the file.
        dims: the number of dimensions it must have: 3 for images `(N, H, W)`, 1 for labels `(N,)`.

    Raises DataError if the file is missing, damaged, too large, or not exactly what its header and
    `dims` say. Nothing is allocated for values before the header was found to be plausible.
    """
    if not os.path.isfile(path):  # a pipe or device would block open()
        raise DataError(f"{path}: expected an IDX file, found no regular file of that name")
    try:
        with path.open("rb") as file:
            return _read(file, path, dims)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: expected a whole gzip file, found a damaged one: {error}"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """Write `values` as an IDX file, gzipped if the name ends in .gz.

    Equal values give equal bytes: the gzip header holds neither time nor name.
    """
    if values.dtype != np.uint8:
        raise ValueError(f"IDX files here hold uint8, not {values.dtype}")
    content = _header(values.shape) + values.tobytes()
    if path.suffix != ".gz":
        path.write_bytes(content)
        return
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(content)


def md5(values: NDArray[np.uint8]) -> str:
    """MD5 of `values` as a plain IDX file: what the published checksums are about."""
    digest = hashlib.md5(_header(values.shape), usedforsecurity=False)
    digest.update(np.ravel(values).data)
    return digest.hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    return struct.pack(f">4B{len(shape)}I", 0, 0, UINT8, len(shape), *shape)


def _read(file: BufferedReader, path: Path, dims: int) -> NDArray[np.uint8]:
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST_FILE:
        raise DataError(f"{path}: expected at most {LARGEST_FILE} bytes, found {size}")
    packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    if not packed:
        return _parse(file, path, dims, size)
    with gzip.GzipFile(fileobj=file, mode="rb") as stream:
        return _parse(stream, path, dims, size * DEFLATE_RATIO)


def _parse(stream: BufferedIOBase, path: Path, dims: int, capacity: int) -> NDArray[np.uint8]:
    """Read header and values from `stream`, which cannot yield more than `capacity` bytes."""
    shape = _read_shape(stream, path, dims)
    count = math.prod(shape)
    announced = f"the {count} values of shape {shape} that its header announces"
    if count == 0 or count > LARGEST_FILE:
        raise DataError(f"{path}: expected 1 to {LARGEST_FILE} values, found {announced}")
    if count > capacity:
        raise DataError(f"{path}: expected {announced}, found room for {capacity}: truncated?")
    payload = stream.read(count)
    if len(payload) < count:
        raise DataError(f"{path}: expected {announced}, found {len(payload)}: truncated?")
    if stream.read(1):
        raise DataError(f"{path}: expected {announced}, found more bytes after them")
    return np.frombuffer(payload, np.uint8).reshape(shape)


def _read_shape(stream: BufferedIOBase, path: Path, dims: int) -> tuple[int, ...]:
    expected = _header((0,) * dims)
    found = stream.read(len(expected))
    magic = expected[:4]
    if found[:4] != magic:
        raise DataError(f"{path}: expected {_describe(magic)}, found {_describe(found[:4])}")
    if len(found) < len(expected):
        raise DataError(f"{path}: expected {len(expected)} header bytes, found {len(found)}")
    return struct.unpack(f">{dims}I", found[4:])


def _describe(magic: bytes) -> str:
    if not magic:
        return "an empty file"
    content = "no uint8 images or labels"
    if magic[:3] == bytes((0, 0, UINT8)) and len(magic) == 4:
        content = CONTENTS.get(magic[3], content)
    return f"{content} (IDX magic {magic.hex()})"
