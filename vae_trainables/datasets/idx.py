"""The IDX file format: reading within limits, writing, and the checksum of a file's plain bytes.

Layout: two zero bytes, the type of the values (8 = uint8, the only one of published files), the
number of dimensions, each dimension as a big-endian uint32, then the values in row-major order.
Files may be gzipped, which is told from their content: names in the wild are not to be trusted.
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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets.errors import DataError

UINT8 = 8
TYPES = {UINT8: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMS = 4
GZIP_MAGIC = b"\x1f\x8b"
LARGEST_FILE = 2**30  # bytes, packed or not: more than a million images of 28 × 28
DEFLATE_RATIO = 1032  # no deflate stream expands further
CONTENTS = {1: "labels", 3: "images"}  # by number of dimensions


def read_idx(path: Path, dims: int) -> NDArray[np.uint8]:
    """Read a plain or gzipped IDX file of uint8 values, as a read-only array.

    Args:
        path: the file.
        dims: the number of dimensions it must have: 3 for images `(N, H, W)`, 1 for labels `(N,)`.

    Raises DataError if the file is missing, damaged, too large, or not exactly what its header and
    `dims` say. Nothing is allocated for values before the header was found to be plausible.
    """
    values: NDArray[np.uint8] = _open(path, dims)
    return values


def read_any(path: Path) -> NDArray[Any]:
    """Read an IDX file of any of `TYPES` with 1 to 4 dimensions, within the same limits."""
    return _open(path, None)


def _open(path: Path, dims: int | None) -> NDArray[Any]:
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


def _read(file: BufferedReader, path: Path, dims: int | None) -> NDArray[Any]:
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST_FILE:
        raise DataError(f"{path}: expected at most {LARGEST_FILE} bytes, found {size}")
    packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    if not packed:
        return _parse(file, path, dims, size)
    with gzip.GzipFile(fileobj=file, mode="rb") as stream:
        return _parse(stream, path, dims, size * DEFLATE_RATIO)


def _parse(stream: BufferedIOBase, path: Path, dims: int | None, capacity: int) -> NDArray[Any]:
    """Read header and values from `stream`, which cannot yield more than `capacity` bytes."""
    dtype, shape = _read_any_header(stream, path) if dims is None else _strict(stream, path, dims)
    count, size = math.prod(shape), math.prod(shape) * dtype.itemsize
    announced = f"the {count} values of shape {shape} that its header announces"
    if count == 0 or size > LARGEST_FILE:
        raise DataError(f"{path}: expected 1 to {LARGEST_FILE} values, found {announced}")
    if size > capacity:
        raise DataError(f"{path}: expected {announced}, found room for {capacity}: truncated?")
    payload = stream.read(size)
    if len(payload) < size:
        raise DataError(f"{path}: expected {announced}, found {len(payload)}: truncated?")
    if stream.read(1):
        raise DataError(f"{path}: expected {announced}, found more bytes after them")
    return np.frombuffer(payload, dtype).reshape(shape)


def _read_any_header(stream: BufferedIOBase, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    plausible = len(magic) == 4 and magic[:2] == b"\0\0" and 1 <= magic[3] <= MOST_DIMS
    if not plausible or magic[2] not in TYPES:
        raise DataError(
            f"{path}: expected an IDX file of 1 to {MOST_DIMS} dimensions, found {_describe(magic)}"
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{path}: expected {4 * magic[3]} bytes of sizes, found {len(sizes)}")
    return np.dtype(TYPES[magic[2]]), struct.unpack(f">{magic[3]}I", sizes)


def _strict(stream: BufferedIOBase, path: Path, dims: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    expected = _header((0,) * dims)
    header = stream.read(len(expected))
    magic = expected[:4]
    if header[:4] != magic:
        raise DataError(f"{path}: expected {_describe(magic)}, found {_describe(header[:4])}")
    if len(header) < len(expected):
        raise DataError(f"{path}: expected {len(expected)} header bytes, found {len(header)}")
    return np.dtype(np.uint8), struct.unpack(f">{dims}I", header[4:])


def _describe(magic: bytes) -> str:
    if not magic:
        return "an empty file"
    content = "no uint8 images or labels"
    if magic[:3] == bytes((0, 0, UINT8)) and len(magic) == 4:
        content = CONTENTS.get(magic[3], content)
    return f"{content} (IDX magic {magic.hex()})"
