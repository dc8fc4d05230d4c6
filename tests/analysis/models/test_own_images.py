"""Own images: brought to the model's size as stated, or refused in one sentence."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.models import own_images
from analysis.models.own_images import OwnImageError, read

RNG = np.random.default_rng(0)


def saved(path: Path, values: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def grey(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width), dtype=np.uint8)


def test_a_picture_of_the_right_size_is_taken_to_the_bit(tmp_path: Path) -> None:
    pixels = grey(28, 28)
    found = read(saved(tmp_path / "a.png", pixels), size=28)
    np.testing.assert_array_equal(found.images, pixels[None].astype(np.float32) / np.float32(255))
    assert found.shape == (28, 28)
    assert not found.is_array


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (30, 1), (3, 40), (27, 29), (640, 480), (56, 56), (1, 500)]
)
def test_any_size_becomes_a_square_of_the_models_size(
    tmp_path: Path, width: int, height: int
) -> None:
    found = read(saved(tmp_path / "a.png", grey(height, width)), size=28)
    assert found.images.shape == (1, 28, 28)
    assert found.images.dtype == np.float32
    assert 0 <= found.images.min() <= found.images.max() <= 1
    assert any("padded" in step for step in found.steps) == (width != height)
    assert found.steps[-1] == "resized to 28x28"


def test_the_longer_side_is_kept_whole_and_the_shorter_padded_in_the_middle(
    tmp_path: Path,
) -> None:
    pixels = np.full((28, 56), 40, np.uint8)
    pixels[10:18, 20:36] = 250
    found = read(saved(tmp_path / "a.png", pixels), size=28).images[0]
    np.testing.assert_allclose(found[:6], 40 / 255, atol=1e-6)  # padding, the border's median
    np.testing.assert_allclose(found[-6:], 40 / 255, atol=1e-6)
    assert found[13:15, 11:17].min() > 0.9
    np.testing.assert_allclose(found, found[::-1], atol=1e-6)
    np.testing.assert_allclose(found, found[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV"])
def test_every_mode_of_a_grey_picture_shows_the_same_grey(tmp_path: Path, mode: str) -> None:
    pixels = np.where(grey(28, 28) > 127, 255, 0).astype(np.uint8)
    suffix = "tif" if mode in ("CMYK", "YCbCr") else "png"
    image = Image.fromarray(pixels).convert("RGB").convert(mode)
    path = tmp_path / f"a.{suffix}"
    (image.convert("RGB") if mode == "HSV" else image).save(path)
    np.testing.assert_allclose(read(path, size=28).images[0], pixels / 255, atol=0.02)


def test_colours_become_luma(tmp_path: Path) -> None:
    pixels = np.zeros((28, 28, 3), np.uint8)
    pixels[...] = (255, 0, 0)
    found = read(saved(tmp_path / "a.png", pixels), size=28).images
    np.testing.assert_allclose(found, 0.299, atol=0.003)


@pytest.mark.parametrize(("ink", "behind"), [(0, 1.0), (255, 0.0)])
def test_transparency_lies_on_what_makes_the_visible_part_visible(
    tmp_path: Path, ink: int, behind: float
) -> None:
    pixels = np.zeros((28, 28, 4), np.uint8)
    pixels[8:20, 8:20] = (ink, ink, ink, 255)
    found = read(saved(tmp_path / "a.png", pixels), size=28)
    assert found.images[0, 0, 0] == behind
    assert found.images[0, 14, 14] == ink / 255
    assert any("transparency" in step for step in found.steps)


def test_sixteen_bits_keep_their_depth(tmp_path: Path) -> None:
    pixels = (np.arange(784, dtype=np.uint16) * 83).reshape(28, 28)
    for name in ("a.png", "a.tif"):
        found = read(saved(tmp_path / name, pixels), size=28).images[0]
        np.testing.assert_allclose(found, pixels / 65535, atol=1e-6)


def test_a_float_tiff_must_lie_in_0_to_1(tmp_path: Path) -> None:
    values = RNG.random((28, 28), dtype=np.float32)
    found = read(saved(tmp_path / "a.tif", values), size=28)
    np.testing.assert_array_equal(found.images[0], values)
    with pytest.raises(OwnImageError, match=r"scale them to \[0, 1\]"):
        read(saved(tmp_path / "b.tif", values * 9), size=28)


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[own_images.ORIENTATION] = 3  # upside down
    pixels = grey(28, 28)
    found = read(saved(tmp_path / "a.png", pixels, exif=exif), size=28)
    np.testing.assert_array_equal(found.images[0], pixels[::-1, ::-1].astype(np.float32) / 255)
    assert "turned as its EXIF says" in found.steps


def test_the_first_of_several_frames_counts(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((28, 28), v, np.uint8)) for v in (10, 200)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    found = read(path, size=28)
    np.testing.assert_allclose(found.images, 10 / 255, atol=0.01)
    assert "first of 2 frames" in found.steps


def test_inversion_happens_when_asked_for_and_is_hinted_at(tmp_path: Path) -> None:
    pixels = np.full((28, 28), 255, np.uint8)
    pixels[10:18, 10:18] = 0
    path = saved(tmp_path / "a.png", pixels)
    plain, auto, yes = (read(path, size=28, invert=invert) for invert in ("no", "auto", "yes"))
    assert any("--invert auto" in step for step in plain.steps)
    np.testing.assert_array_equal(auto.images, 1 - plain.images)
    np.testing.assert_array_equal(yes.images, auto.images)
    assert (plain.inverted[0], auto.inverted[0]) == (False, True)
    dark = saved(tmp_path / "b.png", 255 - pixels)
    assert not read(dark, size=28, invert="auto").inverted[0]
    assert read(dark, size=28, invert="yes").inverted[0]


@pytest.mark.parametrize("shape", [(28, 28), (3, 28, 28), (3, 1, 28, 28)])
def test_arrays_keep_their_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = RNG.random(shape)
    np.save(tmp_path / "a.npy", values)
    found = read(tmp_path / "a.npy", size=28)
    np.testing.assert_array_equal(found.images.reshape(shape), values.astype(np.float32))
    assert found.shape == shape
    assert found.is_array


@pytest.mark.parametrize(("dtype", "top"), [("bool", 1), ("uint8", 255), (">u2", 65535)])
def test_whole_numbers_are_scaled_by_their_type(tmp_path: Path, dtype: str, top: int) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 28, 28), top, dtype))
    np.testing.assert_array_equal(read(tmp_path / "a.npy", size=28).images, 1)


def test_arrays_of_another_size_are_fitted_too(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", RNG.random((4, 1, 32, 20)))
    found = read(tmp_path / "a.npy", size=28)
    assert found.shape == (4, 1, 28, 28)
    assert found.steps[0] == "4 of 20x32 float64"
    assert found.steps.count("resized to 28x28") == 1


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def whole_png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(grey(200, 200)).save(out, "PNG")
    return out.getvalue()


def npy(values: object, **options: bool) -> bytes:
    out = io.BytesIO()
    np.save(out, values, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", b"", "empty"),
        ("a.png", b"hello", "not a picture of a known format"),
        ("a.png", whole_png()[:3000], "truncated|cannot be read|damaged"),
        ("a.png", whole_png()[:40], "truncated|cannot be read|damaged|not a picture"),
        ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        ("a.png", png_claiming(60_000, 60_000), "too large"),
        ("a.png", png_claiming(9_000, 10), "9000x10 pixels are too large"),
        ("a.png", png_claiming(8_000, 8_000), "too large"),
        ("a.png", png_claiming(0, 5), "nothing in it|not a picture|damaged"),
        ("a.npy", b"", "empty"),
        ("a.npy", b"\x93NUMPY\x01", "not a whole .npy"),
        ("a.npy", npy(np.zeros((9, 28, 28)))[:-8], "not a whole .npy"),
        ("a.npy", npy(np.array([{}], object), allow_pickle=True), "not a whole .npy"),
        ("a.npy", npy(np.zeros(784)), r"shape \(784,\)"),
        ("a.npy", npy(np.zeros((2, 3, 28, 28))), r"shape \(2, 3, 28, 28\)"),
        ("a.npy", npy(np.zeros((2, 0, 28))), "nothing in it"),
        ("a.npy", npy(np.zeros((0, 28, 28))), "no image|not a whole"),
        ("a.npy", npy(np.full((1, 28, 28), 2.0)), "from 2 to 2; scale"),
        ("a.npy", npy(np.full((1, 28, 28), np.nan)), "nan"),
        ("a.npy", npy(np.zeros((1, 28, 28), np.int32)), "int32"),
        ("a.npy", npy(np.zeros((1, 28, 28), complex)), "complex128"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line_with_the_files_name(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(OwnImageError, match=message) as refusal:
        read(path, size=28)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_folder_or_nothing_where_a_file_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    for name in ("a.png", "b.png", "b.npy"):
        with pytest.raises(OwnImageError, match="cannot be read"):
            read(tmp_path / name, size=28)


def test_arrays_too_large_to_be_padded_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:  # sparse: 8 MB of header and zeros on disk
        header = {"descr": "|u1", "fortran_order": False, "shape": (4096, 1, 2048)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4096 * 2048)
    with pytest.raises(OwnImageError, match="too much at once"):
        read(tmp_path / "a.npy", size=28)
