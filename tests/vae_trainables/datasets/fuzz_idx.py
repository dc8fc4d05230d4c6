"""Feed damaged IDX files to the reader, and count what happens.

    python tests/vae_trainables/datasets/fuzz_idx.py --count 100000 --seed 0

Each file is a valid one, plain or gzipped, with one to four random mutations; half of the gzipped
ones are mutated before packing, so that their damage gets past the checksum. The reader may return
an array or raise DataError: anything else, a slow file or a large allocation ends the run with
exit code 1 and the seed of the culprit.
"""

from __future__ import annotations

import argparse
import gzip
import random
import struct
import sys
import tempfile
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.idx import DEFLATE_RATIO, read_idx, write_idx

SLOWEST_SECONDS = 2.0  # generous: another process may hold the core
BASE_BYTES = 1_000_000  # buffers and bookkeeping, whatever the file says
NASTY = (0, 1, 9, 28, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 2**30)

Mutation = Callable[[random.Random, bytearray], None]


class FoundError(Exception):
    """The reader did what it must not do."""


@dataclass
class Tally:
    """What came of the files: outcomes by kind, and the extremes."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    largest_bytes: int = 0

    def __str__(self) -> str:
        total = self.outcomes.total()
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.outcomes.most_common())
        return (
            f"{total} mutated files: {kinds}; slowest {self.slowest * 1e3:.1f} ms, "
            f"largest allocation {self.largest_bytes / 1e6:.2f} MB"
        )


def flip_bit(rng: random.Random, data: bytearray) -> None:
    """One bit, anywhere."""
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def damage_head(rng: random.Random, data: bytearray) -> None:
    """One byte of the first 16, where the headers are."""
    data[rng.randrange(min(16, len(data)))] = rng.randrange(256)


def nasty_number(rng: random.Random, data: bytearray) -> None:
    """A big-endian number that has broken parsers before, mostly where the dimensions are."""
    at = rng.choice((4, 8, 12, rng.randrange(len(data))))
    data[at : at + 4] = struct.pack(">I", rng.choice(NASTY))


def cut(rng: random.Random, data: bytearray) -> None:
    """Everything after a random place, or a stretch out of the middle."""
    start = rng.randrange(len(data))
    del data[start : rng.choice((len(data), start + rng.randrange(1, 64)))]


def insert(rng: random.Random, data: bytearray) -> None:
    """Random bytes at a random place."""
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.randrange(1, 64))


def repeat(rng: random.Random, data: bytearray) -> None:
    """The whole file once more: a second gzip member, or too many values."""
    data += data[: rng.choice((len(data), rng.randrange(1, len(data) + 1)))]


MUTATIONS: tuple[Mutation, ...] = (flip_bit, damage_head, nasty_number, cut, insert, repeat)


def mutate(rng: random.Random, content: bytes) -> bytes:
    """`content` after one to four mutations."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if data:
            rng.choice(MUTATIONS)(rng, data)
    return bytes(data)


def seeds(folder: Path) -> list[tuple[bytes, int]]:
    """Valid plain files to start from, with the number of their dimensions."""
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    images[:, :10] = 0  # so that deflate has something to compress, as in real images
    found = []
    for array in (images, images[:1], np.arange(10, dtype=np.uint8), np.zeros(3000, np.uint8)):
        write_idx(folder / "seed", array)
        found.append(((folder / "seed").read_bytes(), array.ndim))
    return found


def damaged(rng: random.Random, valid: list[tuple[bytes, int]]) -> tuple[bytes, int]:
    """A damaged file, and the number of dimensions that the reader is to expect of it."""
    content, dims = rng.choice(valid)
    if rng.random() < 0.05:
        dims = 4 - dims  # images for labels and the other way round
    how = rng.randrange(4)
    if how == 0:
        return mutate(rng, gzip.compress(content, 1, mtime=0)), dims
    if how == 1:
        return gzip.compress(mutate(rng, content), 1, mtime=0), dims
    return mutate(rng, content), dims


def probe(path: Path, dims: int, tally: Tally) -> None:
    """Read `path` and record the outcome; FoundError for a forbidden one."""
    size = path.stat().st_size
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    started = time.perf_counter()
    try:
        array = read_idx(path, dims)
        outcome = "read"
        if array.ndim != dims or array.dtype != np.uint8:
            raise FoundError(f"returned {array.dtype} of {array.ndim} dimensions")
    except DataError as error:
        outcome = "refused"
        if str(path) not in str(error) or "\n" in str(error):
            raise FoundError(
                f"a message without the file or of several lines: {error!r}"
            ) from error
    seconds = time.perf_counter() - started
    allocated = tracemalloc.get_traced_memory()[1] - before
    tally.outcomes[outcome] += 1
    tally.slowest = max(tally.slowest, seconds)
    tally.largest_bytes = max(tally.largest_bytes, allocated)
    if seconds > SLOWEST_SECONDS or allocated > BASE_BYTES + size * DEFLATE_RATIO:
        raise FoundError(f"{seconds:.3f} s and {allocated} bytes for a file of {size} bytes")


def run(count: int, seed: int = 0) -> Tally:
    """Try `count` damaged files; raises what the reader must not raise, noted with its seed."""
    tally = Tally()
    tracemalloc.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            valid, path = seeds(Path(folder)), Path(folder) / "case"
            for case in range(count):
                content, dims = damaged(random.Random(f"{seed}/{case}"), valid)
                path.write_bytes(content)
                try:
                    probe(path, dims, tally)
                except Exception as error:
                    error.add_note(f"seed {seed}, case {case}, dims {dims}, file {content.hex()}")
                    raise
    finally:
        tracemalloc.stop()
    return tally


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.perf_counter()
    try:
        print(run(options.count, options.seed), f"({time.perf_counter() - begun:.0f} s)")
    except Exception:
        traceback.print_exc()
        sys.exit(1)
