"""From contents to splits: sizes, values, divisions, copies, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.vae_trainables.datasets import made
from vae_trainables.datasets import DataError, cli, memory, open_source
from vae_trainables.datasets.dividing import fair, stratified
from vae_trainables.datasets.own import OwnData, from_arrays
from vae_trainables.datasets.sizes import Resize
from vae_trainables.datasets.values import as_uint8

GREY = made.images()


def own(resize: str = "auto", **arrays: Any) -> OwnData:
    return from_arrays(arrays, Resize.parse(resize), "made")


def notes(**arrays: Any) -> str:
    return "\n".join(own(**arrays).notes)


# Divisions


def test_a_division_is_stratified_whole_and_always_the_same() -> None:
    labels = np.repeat([0, 1, 2, 3], [100, 40, 2, 1])
    parts = stratified(labels, {"val": 0.15, "test": 0.15})
    counts = {name: np.bincount(labels[at], minlength=4).tolist() for name, at in parts.items()}
    assert counts == {"train": [70, 28, 1, 1], "val": [15, 6, 1, 0], "test": [15, 6, 0, 0]}
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(143))
    again = stratified(labels, {"val": 0.15, "test": 0.15})
    assert all(np.array_equal(parts[name], again[name]) for name in parts)


def test_the_first_images_of_a_part_are_a_fair_sample_of_it() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    ordered = labels[fair(labels)]
    for count in (10, 20, 50):
        assert np.bincount(ordered[:count]).tolist() == [0.6 * count, 0.3 * count, 0.1 * count]


def test_exact_copies_stay_in_the_first_split_only_and_are_named() -> None:
    images = GREY[:, 0]
    data = own(
        train_images=images[::2], train_labels=made.labels()[::2],
        val_images=images[[1, 3, 0, 11, 21]], val_labels=made.labels()[[1, 3, 0, 11, 21]],
        test_images=images[[5, 2, 3, 15, 25]], test_labels=made.labels()[[5, 2, 3, 15, 25]],
    )  # fmt: skip
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 15, "val": 4, "test": 3,
    }  # fmt: skip
    said = "\n".join(data.notes)
    assert "1 of 5 val images are exact copies" in said
    assert "val 2 = train 0" in said
    assert "2 of 5 test images are exact copies" in said
    seen = torch.cat([split.images for split in data.splits.values()]).flatten(1)
    assert len(seen.unique(dim=0)) == len(seen)


def test_what_should_be_known_is_said_and_stops_nothing() -> None:
    images = GREY.copy()
    images[3] = 77
    labels = made.labels().copy()
    labels[-1] = 9
    said = notes(images=images, labels=labels)
    assert "images are of one colour alone: image 3" in said
    assert "1 classes have a single image: 9" in said
    assert "has only" in said
    assert "less than a usual batch" in said


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, ""),
        (np.zeros(30, int), "all images have the label 0"),
        (np.arange(30), "are no classes"),
        (np.linspace(0, 1, 30), "no whole numbers"),
        (np.ones((30, 2)), "name several classes"),
    ],
)
def test_labels_that_say_nothing_are_none(labels: Any, message: str) -> None:
    data = own(images=GREY) if labels is None else own(images=GREY, labels=labels)
    assert not data.facts.labelled
    assert not any(split.labelled or split.labels.any() for split in data.splits.values())
    assert message in "\n".join(data.notes)


def test_classes_keep_their_names_in_the_order_of_their_numbers() -> None:
    names = np.array(["10", "9", "cat"])[made.labels()]
    assert own(images=GREY, labels=names).facts.classes == ("10", "9", "cat")
    numbers = np.array(["10", "9", "2"])[made.labels()]
    assert own(images=GREY, labels=numbers).facts.classes == ("2", "9", "10")


# Values


@pytest.mark.parametrize(
    ("values", "expected", "said"),
    [
        (np.array([0, 128, 255], np.uint8), [0, 128, 255], ""),
        (np.array([False, True]), [0, 255], "black and white"),
        (np.array([0, 1], np.int64), [0, 255], "black and white"),
        (np.array([0, 4095], np.uint16), [0, 255], "scaled from 0–4095"),
        (np.array([0, 300, 1023], np.int32), [0, 75, 255], "scaled from 0–1023"),
        (np.array([0, 65535], np.uint16), [0, 255], "scaled from 0–65535"),
        (np.array([0, 0.5, 1], np.float32), [0, 128, 255], "rounded to 256 levels"),
        (np.arange(256) / 255, list(range(256)), "floats in [0, 1]"),
        (np.array([0, 17, 255], np.float64), [0, 17, 255], "floats in [0, 255]"),
    ],
)
def test_values_of_every_type(values: Any, expected: list[int], said: str) -> None:
    (made_,), text = as_uint8([values])
    assert made_.dtype == np.uint8
    assert made_.tolist() == expected
    assert said in text


def test_all_parts_are_scaled_alike() -> None:
    dark, bright = np.array([[0, 255]], np.uint16), np.array([[0, 65535]], np.uint16)
    (first, _), _ = as_uint8([dark, bright])
    assert first.tolist() == [[0, 1]]


# Sizes


@pytest.mark.parametrize(
    ("text", "size", "target"),
    [
        ("auto", (28, 28), (28, 28)), ("auto", (8, 128), (8, 128)), ("auto", (200, 100), (64, 64)),
        ("auto", (300, 300), (64, 64)), ("32", (28, 28), (32, 32)), ("20x40", (100, 200), (20, 40)),
    ],
)  # fmt: skip
def test_the_size_that_images_are_brought_to(
    text: str, size: tuple[int, int], target: tuple[int, int]
) -> None:
    assert Resize.parse(text).target({size: 5}) == target


@pytest.mark.parametrize(
    ("text", "sizes", "message"),
    [
        ("huge", {}, "give auto, N or HxW"), ("4", {}, "sides go from 8 to 128"),
        ("129", {}, "sides go from 8 to 128"), ("auto", {(4, 4): 1}, "too small"),
        ("128", {(16, 16): 1}, "enlarged more than 4 times"),
        ("32", {(100, 10): 1}, "does not suit 32 × 32"),
        ("auto", {(1000, 30): 3}, "does not suit"),
    ],
)  # fmt: skip
def test_silly_sizes_are_refused(
    text: str, sizes: dict[tuple[int, int], int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Resize.parse(text).target(sizes)


@pytest.mark.parametrize("how", ["pad", "crop", "stretch"])
def test_a_picture_s_middle_stays_in_the_middle(how: str) -> None:
    image = np.full((40, 20, 3), 200, np.uint8)
    image[15:25, 5:15] = 10
    small = Resize.parse(f"16:{how}").bring(image, (16, 16))
    assert small.shape == (16, 16, 3)
    assert small[8, 8, 0] < 60
    assert abs(int(small[0, 0, 0]) - 200) < 20
    dark = (small[:, :, 0] < 100).sum(), (small[:, 8, 0] < 100).sum()
    expected = {"pad": (16, 4), "crop": (64, 8), "stretch": (32, 4)}[how]
    assert dark == pytest.approx(expected, rel=0.35)


# What is too large, and the commands


def test_more_than_fits_into_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free", lambda: 10_000)
    np.savez(tmp_path / "set.npz", images=GREY)
    monkeypatch.setattr("vae_trainables.datasets.formats.arrays._load", None)
    places = [tmp_path / "set.npz", made.csv(tmp_path / "set.csv", GREY)]
    places += [made.folder(tmp_path / "f", GREY), made.svhn(tmp_path / "s", made.images(3))]
    for path in places:
        with pytest.raises(DataError, match=r"would take 0.\d MiB of memory, and the limit here"):
            open_source("x", data=str(path)).splits()


def test_check_shows_what_was_understood_and_a_sheet_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made.folder(tmp_path / "pets", made.images(3))
    sheet = tmp_path / "sheet.png"
    assert cli.main(["check", str(root), "--sheet", str(sheet)]) == 0
    said = capsys.readouterr().out
    for text in (
        "pets: folder of pictures of 16 × 16 pixels", "16 × 16 pixels, colour", "3 (a, b, c)",
        "train     18 images, 6 to 6 per class, values 0 to 255", "val        6", "test       6",
    ):  # fmt: skip
        assert text in said
    from PIL import Image

    assert Image.open(sheet).height == 3 * (48 + 2)
    assert cli.main(["check", str(root), "--resize", "300"]) == 2
    assert "sides go from 8 to 128" in capsys.readouterr().err


def test_arrays_from_python_go_through_the_same_door() -> None:
    source = open_source(
        "mine", arrays=lambda: {"x_train": GREY[:, 0], "y_train": made.labels()}, resize="12"
    )
    assert source.facts is not None
    assert source.facts.shape == (1, 12, 12)
    assert source.facts.name == "mine"
