"""IDX files: what is written comes back, and nothing else is accepted."""

from __future__ import annotations

import gzip
import hashlib
import os
import runpy
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.idx import md5, read_idx, write_idx

FUZZ = Path(__file__).with_name("fuzz_idx.py")
IMAGES = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([3, 1, 2], np.uint8)

any_images = arrays(np.uint8, st.tuples(*[st.integers(1, 9)] * 3))
any_labels = arrays(np.uint8, st.tuples(st.integers(1, 50)))


def header(magic: int, *shape: int) -> bytes:
    return struct.pack(f">I{len(shape)}I", magic, *shape)


def peak_of_refusal(path: Path, dims: int, complaint: str) -> int:
    """Bytes allocated at most while `path` is read and refused with `complaint`."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=complaint):
            read_idx(path, dims)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=any_images | any_labels, suffix=st.sampled_from(["", ".gz"]))
def test_what_was_written_is_read_back(
    tmp_path: Path, values: NDArray[np.uint8], suffix: str
) -> None:
    path = tmp_path / f"file-ubyte{suffix}"
    write_idx(path, values)
    found = read_idx(path, values.ndim)
    assert found.dtype == np.uint8
    assert np.array_equal(found, values)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=any_images | any_labels)
def test_md5_is_that_of_the_plain_file(tmp_path: Path, values: NDArray[np.uint8]) -> None:
    write_idx(tmp_path / "plain", values)
    assert md5(values) == hashlib.md5((tmp_path / "plain").read_bytes()).hexdigest()


def test_md5_does_not_depend_on_the_memory_layout() -> None:
    assert md5(IMAGES[:, :, ::2]) == md5(IMAGES[:, :, ::2].copy())


def test_the_header_is_the_published_one(tmp_path: Path) -> None:
    write_idx(tmp_path / "images", IMAGES)
    write_idx(tmp_path / "labels", LABELS)
    assert (tmp_path / "images").read_bytes()[:16] == header(2051, 3, 28, 28)
    assert (tmp_path / "labels").read_bytes() == header(2049, 3) + bytes([3, 1, 2])


def test_equal_values_give_equal_gzip_bytes_under_any_name(tmp_path: Path) -> None:
    for name in ("one.gz", "other.gz"):
        write_idx(tmp_path / name, IMAGES)
    packed = (tmp_path / "one.gz").read_bytes()
    assert packed == (tmp_path / "other.gz").read_bytes()
    assert packed[4:8] == bytes(4), "the gzip header holds a time"


def test_gzip_is_told_from_the_content_not_the_name(tmp_path: Path) -> None:
    write_idx(tmp_path / "packed.gz", IMAGES)
    (tmp_path / "packed.gz").rename(tmp_path / "plain-name")
    write_idx(tmp_path / "plain", IMAGES)
    (tmp_path / "plain").rename(tmp_path / "name.gz")
    for name in ("plain-name", "name.gz"):
        assert np.array_equal(read_idx(tmp_path / name, 3), IMAGES)


def test_only_uint8_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="int64"):
        write_idx(tmp_path / "file", np.zeros(3, np.int64))


BAD_FILES = {
    "empty": (b"", "an empty file"),
    "short magic": (b"\0\0", "IDX magic 0000"),
    "labels for images": (header(2049, 3) + bytes(3), "expected images .* found labels"),
    "floats for images": (header(0x0D03, 1, 1, 1) + bytes(4), "magic 00000d03"),
    "text": (b"<html>not found</html>", "no uint8 images or labels"),
    "short header": (header(2051, 3), "expected 16 header bytes, found 8"),
    "no images": (header(2051, 0, 28, 28), "found the 0 values"),
    "one byte short": (header(2051, 1, 2, 2) + bytes(3), "4 values .* found 3"),
    "one byte long": (header(2051, 1, 2, 2) + bytes(5), "4 values .* found more bytes"),
    "far too many": (header(2051, *[2**32 - 1] * 3), "expected 1 to 1073741824 values"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named_with_what_was_expected_and_found(
    tmp_path: Path, case: str, packed: bool
) -> None:
    content, complaint = BAD_FILES[case]
    path = tmp_path / "images-ubyte"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=complaint) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "checksum", "length", "stream", "garbage after"])
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, damage: str) -> None:
    packed = bytearray(gzip.compress(header(2051, *IMAGES.shape) + IMAGES.tobytes()))
    if damage == "cut":
        del packed[-20:]
    elif damage == "garbage after":
        packed += b"garbage"
    else:
        packed[{"checksum": -8, "length": -4, "stream": 12}[damage]] ^= 0xFF
    (tmp_path / "images.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"images\.gz: expected"):
        read_idx(tmp_path / "images.gz", 3)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent"):
        with pytest.raises(DataError, match="no regular file"):
            read_idx(path, 3)


def test_an_unreadable_file_is_a_data_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:  # a mode of 0 would not stop root
        raise PermissionError(13, "Permission denied", path)

    write_idx(tmp_path / "labels", LABELS)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"labels: cannot be read: Permission denied$"):
        read_idx(tmp_path / "labels", 1)


def test_a_file_above_the_limit_is_not_parsed(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.write(header(2051, 3, 28, 28))
        file.truncate(2**30 + 1)
    assert peak_of_refusal(tmp_path / "sparse", 3, "expected at most") < 1_000_000


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_header_that_promises_too_much_allocates_nothing(tmp_path: Path, packed: bool) -> None:
    content = header(2051, 1_000_000, 28, 28) + bytes(100)
    (tmp_path / "file").write_bytes(gzip.compress(content) if packed else content)
    assert peak_of_refusal(tmp_path / "file", 3, "found room for") < 1_000_000


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_says(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(header(2049, 10) + bytes(100_000_000), 9))
    assert peak_of_refusal(tmp_path / "bomb.gz", 1, "found more bytes") < 1_000_000


def test_mutated_files_never_crash_the_reader() -> None:
    tally = runpy.run_path(str(FUZZ))["run"](count=2_000, seed=2)
    assert tally.outcomes.total() == 2_000
    assert min(tally.outcomes["read"], tally.outcomes["refused"]) > 50, "a fuzz without variety"


@pytest.mark.slow
def test_many_mutated_files_never_crash_the_reader() -> None:
    """A hundred thousand: `python tests/vae_trainables/datasets/fuzz_idx.py`."""
    count = int(os.environ.get("VAE_STUDIES_FUZZ", "20000"))
    tally = runpy.run_path(str(FUZZ))["run"](count=count, seed=0)
    print(tally)
    assert tally.outcomes.total() == count
