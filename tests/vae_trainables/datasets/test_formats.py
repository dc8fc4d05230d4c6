"""The same images in every format: what is read is what was written."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.vae_trainables.datasets import made
from vae_trainables.datasets import DataError, Split, open_source
from vae_trainables.datasets.formats import FORMATS
from vae_trainables.datasets.idx import write_idx

GREY, COLOUR = made.images(), made.images(3, (32, 32))
WIDE = made.images(1, (12, 20))


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path / "set.npz", **arrays)
    return path / "set.npz"


def idx_of(path: Path, values: np.ndarray[Any, Any], code: int) -> Path:
    """An IDX file of any type, big-endian, with its labels."""
    path.mkdir()
    header = struct.pack(f">4B{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    (path / "train-images-idx4-float").write_bytes(header + values.tobytes())
    made.idx(path / "labels", GREY)
    (path / "labels/train-labels-idx1-ubyte.gz").rename(path / "train-labels-idx1-ubyte.gz")
    return path


WRITTEN: dict[str, tuple[Callable[[Path], Path], np.ndarray[Any, Any]]] = {
    "folder": (lambda p: made.folder(p / "set", GREY), GREY),
    "folder, colour": (lambda p: made.folder(p / "set", COLOUR), COLOUR),
    "folder, not square": (lambda p: made.folder(p / "set", WIDE), WIDE),
    "MedMNIST": (
        lambda p: npz(p, train_images=GREY[:, 0], train_labels=made.labels()[:, None]), GREY,
    ),
    "MedMNIST, colour": (
        lambda p: npz(
            p, train_images=COLOUR.transpose(0, 2, 3, 1), train_labels=made.labels()[:, None]
        ),
        COLOUR,
    ),
    "Keras": (lambda p: npz(p, x_train=GREY[:, 0], y_train=made.labels()), GREY),
    "images and labels": (lambda p: npz(p, images=COLOUR, labels=made.labels()), COLOUR),
    "unnamed arrays": (lambda p: npz(p, arr_0=GREY, arr_1=made.labels()), GREY),
    "(N, 28, 28, 1), int32": (
        lambda p: npz(p, X=GREY[:, 0, :, :, None].astype(np.int32), y=made.labels()), GREY,
    ),
    "floats in [0, 1]": (lambda p: npz(p, x=(GREY / 255).astype("f4"), y=made.labels()), GREY),
    "floats in [0, 255]": (lambda p: npz(p, x=GREY.astype("f8"), y=made.labels()), GREY),
    "flat rows": (lambda p: npz(p, x=GREY.reshape(30, -1), y=made.labels()), GREY),
    "one-hot labels": (lambda p: npz(p, x=GREY, y=np.eye(3)[made.labels()]), GREY),
    "CSV": (lambda p: made.csv(p / "set.csv", GREY), GREY),
    "CSV, label last": (lambda p: made.csv(p / "set.csv", GREY, place=256), GREY),
    "CSV, label inside": (lambda p: made.csv(p / "set.csv", GREY, place=100), GREY),
    "CSV without header": (lambda p: made.csv(p / "set.csv", GREY, header=False), GREY),
    "IDX, own names": (lambda p: made.idx(p / "set", GREY, "mine-"), GREY),
    "IDX of floats, four dimensions": (
        lambda p: idx_of(p / "set", (GREY[..., None][:, 0] / 255).astype(">f4"), 0x0D), GREY,
    ),
    "IDX of int32": (lambda p: idx_of(p / "set", GREY[:, 0].astype(">i4"), 0x0C), GREY),
    "EMNIST": (
        lambda p: made.idx(p / "set/EMNIST/raw", GREY.swapaxes(2, 3), "emnist-digits-"), GREY,
    ),
    "SVHN": (lambda p: made.svhn(p / "set", COLOUR), COLOUR),
    "USPS": (lambda p: made.usps(p / "set", GREY), GREY),
    "CIFAR-10": (lambda p: made.cifar(p / "set", COLOUR), COLOUR),
}  # fmt: skip


def together(splits: dict[str, Split]) -> tuple[torch.Tensor, torch.Tensor]:
    """The images of all splits in the order in which they were written, and their labels."""
    images = torch.cat([split.images for split in splits.values()])
    labels = torch.cat([split.labels for split in splits.values()])
    order = images[:, 0, -1, 0].argsort()
    return images[order], labels[order]


@pytest.mark.parametrize("written", WRITTEN)
def test_every_format_gives_the_images_that_were_written(written: str, tmp_path: Path) -> None:
    write, images = WRITTEN[written]
    splits = open_source("x", data=str(write(tmp_path))).splits()
    found, labels = together(splits)
    assert torch.equal(found, torch.from_numpy(images))
    names = [splits["train"].classes[label] for label in labels.tolist()]
    assert names == sorted(names, key=names.index)  # one class after the other
    assert [names.count(name) for name in splits["train"].classes] == [made.PER_CLASS] * 3
    for split in splits.values():  # though the file is sorted by class
        assert set(split.labels.tolist()) == {0, 1, 2}
        assert split.images.is_contiguous()


def test_every_format_has_its_test() -> None:
    modules = {Path(form.read.__code__.co_filename).stem for form in FORMATS}
    assert modules == {
        "idx_files", "arrays", "table", "matlab", "libsvm", "cifar", "image_folder", "pickles",
    }  # fmt: skip


def test_given_splits_are_used(tmp_path: Path) -> None:
    for part, chosen in (
        ("train", slice(0, 30, 3)),
        ("Val", slice(1, 30, 3)),
        ("test", slice(2, 30, 3)),
    ):
        for image, label in zip(GREY[chosen], made.labels()[chosen], strict=True):
            path = tmp_path / "set" / part / f"class {label}" / f"{image[0, -1, 0]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            made.save(image, path)
    splits = open_source("x", data=str(tmp_path / "set")).splits()
    found = {name: sorted(s.images[:, 0, -1, 0].tolist()) for name, s in splits.items()}
    assert found == {
        name: (np.arange(start, 30, 3) * 8).tolist()
        for start, name in enumerate(("train", "val", "test"))
    }
    assert splits["val"].classes == ("class 0", "class 1", "class 2")


def test_kaggle_s_pair_of_files_has_test_images_without_labels(tmp_path: Path) -> None:
    made.csv(tmp_path / "train.csv", GREY)
    lines = [line.partition(",")[2] for line in (tmp_path / "train.csv").read_text().splitlines()]
    (tmp_path / "test.csv").write_text("\n".join(lines))
    source = open_source("x", data=str(tmp_path))
    assert source.splits()["test"].labelled
    assert any("test has no labels and is left out" in note for note in source.own.notes)


def test_kmnist_s_npz_files(tmp_path: Path) -> None:
    for part in ("train", "test"):
        np.savez(tmp_path / f"kmnist-{part}-imgs.npz", GREY[:, 0] // (1 + (part == "test")))
        np.savez(tmp_path / f"kmnist-{part}-labels.npz", made.labels())
    splits = open_source("x", data=str(tmp_path)).splits()
    assert len(splits["train"]) + len(splits["val"]) == len(splits["test"]) == 30


def test_emnist_letters_are_numbered_from_1_and_have_names(tmp_path: Path) -> None:
    made.idx(tmp_path, GREY, "emnist-letters-")
    made.idx(tmp_path, GREY, "emnist-digits-")
    with pytest.raises(DataError, match=r"several sets .emnist-digits, emnist-letters"):
        open_source("x", data=str(tmp_path)).splits()
    letters = (made.labels() * 12 + 1).astype(np.uint8)
    write_idx(tmp_path / "emnist-letters-train-labels-idx1-ubyte.gz", letters)
    splits = open_source("x", data=str(tmp_path / "emnist-letters")).splits()
    assert splits["train"].classes == ("A", "M", "Y")


PICTURES: dict[str, Callable[[Image.Image, Path], None]] = {
    "palette": lambda image, path: image.convert("P").save(path.with_suffix(".png")),
    "alpha": lambda image, path: image.convert("RGBA").save(path.with_suffix(".png")),
    "grey with alpha": lambda image, path: image.convert("LA").save(path.with_suffix(".png")),
    "TIFF": lambda image, path: image.save(path.with_suffix(".tif")),
    "16 bits": lambda image, path: Image.fromarray(
        np.asarray(image.convert("L")).astype(np.uint16) * 257
    ).save(path.with_suffix(".png")),
    "16-bit TIFF": lambda image, path: Image.fromarray(
        np.asarray(image.convert("L")).astype(np.uint16) * 257
    ).save(path.with_suffix(".tiff")),
    "colour that is grey": lambda image, path: image.convert("RGB").save(path.with_suffix(".BMP")),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_of_every_kind_keep_their_grey_levels(kind: str, tmp_path: Path) -> None:
    for i, image in enumerate(GREY):
        PICTURES[kind](Image.fromarray(image[0]), tmp_path / f"{i:02}")
    splits = open_source("x", data=str(tmp_path)).splits()
    assert not splits["train"].labelled
    assert splits["train"].classes == ()
    assert not splits["train"].labels.any()
    assert torch.equal(together(splits)[0], torch.from_numpy(GREY))


def test_jpegs_and_transparent_parts(tmp_path: Path) -> None:
    for i in range(30):
        image = np.full((16, 16, 4), (10, 20, 5 * i + 20, 255), np.uint8)
        image[:8, :, 3] = 0  # what is visible is dark, so this becomes white
        Image.fromarray(image).save(tmp_path / f"{i:02}.png")
    Image.fromarray(np.full((16, 16), 90, np.uint8)).save(tmp_path / "grey.jpg")
    images = torch.cat([s.images for s in open_source("x", data=str(tmp_path)).splits().values()])
    assert images.shape == (31, 3, 16, 16)
    assert (images[:, :, :8] == 255).all((1, 2, 3)).sum() == 30
    assert ((images[:, 0, 8:] == images[:, 2, 8:]).all((1, 2))).sum() == 1


def test_broken_and_empty_files_are_counted_and_named(tmp_path: Path) -> None:
    root = made.folder(tmp_path / "set", GREY)
    (root / "a/empty.png").touch()
    whole = (root / "a/00.png").read_bytes()
    (root / "b/cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "b/text.png").write_text("no picture")
    (root / "README.txt").touch()
    (root / ".DS_Store").touch()
    source = open_source("x", data=str(root))
    assert sum(map(len, source.splits().values())) == 30
    notes = "\n".join(source.own.notes)
    assert "3 broken or empty files left out: " in notes
    assert all(name in notes for name in ("a/empty.png (empty)", "b/cut.png", "b/text.png"))
    assert "no pictures, left out: README.txt" in notes


def _pickled(path: Path) -> Path:
    np.savez(path / "set.npz", images=np.array([{}], dtype=object))
    return path / "set.npz"


def _cifar_python(path: Path) -> Path:
    (path / "cifar-10-batches-py").mkdir()
    (path / "cifar-10-batches-py/data_batch_1").write_bytes(b"\x80\x02}q\x01.")
    return path


def _cut_idx(path: Path) -> Path:
    images = made.idx(path / "set", GREY) / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:40])
    return path / "set"


def _written(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        (path / name).write_bytes(content)
        return path / name

    return write


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing there": (lambda p: p / "nothing", "neither a file or folder that is there nor"),
    "empty folder": (lambda p: p, "found an empty folder"),
    "something else": (_written("set.txt", b"x"), "found none of them"),
    "pickled objects": (_pickled, "holds Python objects, which are pickles"),
    "CIFAR's pickles": (_cifar_python, "cifar-10-binary.tar.gz"),
    "a damaged npz": (_written("set.npz", b"PK\x03\x04"), "damaged, or no file of NumPy's"),
    "a damaged npy": (_written("set.npy", b"\x93NUMPY"), "damaged, or no file of NumPy's"),
    "a CSV of nothing": (_written("set.csv", b""), "cannot be read as CSV"),
    "a CSV of something else": (_written("set.csv", b"a,b\n1,2\n"), "2 columns; expected"),
    "no picture whole": (lambda p: (p / "a.png").touch() or p, "no picture can be read; a.png"),
    "standardised": (lambda p: npz(p, x=GREY / 100 - 1.0), "neither in .0, 1. nor in .0, 255."),
    "not finite": (lambda p: npz(p, x=GREY / np.nan), "NaN or infinite"),
    "negative": (lambda p: npz(p, x=GREY.astype(int) - 5), "integer pixels from -5"),
    "no images": (lambda p: npz(p, labels=made.labels()), "no array of images among labels"),
    "odd axes": (lambda p: npz(p, images=np.zeros((3, 5, 8, 8))), "images of shape"),
    "other counts": (lambda p: npz(p, x=GREY, y=made.labels()[1:]), "30 images and 29 labels"),
    "one image": (lambda p: npz(p, x=GREY[:1]), "no image is left for"),
    "only a test part": (lambda p: npz(p, x_test=GREY), "no part to train on, only test"),
    "a truncated IDX file": (_cut_idx, "expected a whole gzip file"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    write, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as caught:
        open_source("x", data=str(write(tmp_path))).splits()
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
