"""Data sets: the right files, verified and split as documented, or one clear line."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from vae_trainables.datasets import cli, sources
from vae_trainables.datasets import published as datasets
from vae_trainables.datasets.idx import md5, read_idx, write_idx
from vae_trainables.datasets.published import DataError, load, load_splits
from vae_trainables.datasets.splits import Split

SLICES = Path(__file__).parents[2] / "data"
SLICE = SLICES / "fashion-mnist"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
MNIST = os.environ.get("VAE_STUDIES_MNIST", "")
FILES = {
    f"{part}-{content}": SLICE / f"{part}-{content}-idx{dims}-ubyte.gz"
    for part in ("train", "t10k")
    for content, dims in (("images", 3), ("labels", 1))
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cache, no installed package, no command to download with: a bare machine."""
    monkeypatch.setenv(sources.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sources, "DEBIAN_ROOT", tmp_path / "debian")
    (tmp_path / "bin").mkdir()
    fake_torchvision(tmp_path, monkeypatch, "raise RuntimeError('no network')")
    return tmp_path


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slice counts as the published set, so that it is accepted everywhere."""
    known = {}
    for stem, path in FILES.items():
        known[md5(read_idx(path, 3 if stem.endswith("images") else 1))] = f"fashion-mnist's {stem}"
    monkeypatch.setattr(datasets, "_PUBLISHED", known)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="vae_trainables")
    return caplog


def fake_torchvision(home: Path, monkeypatch: pytest.MonkeyPatch, download: str) -> None:
    """A torchvision that the downloading process imports instead of the real one."""
    (home / "site" / "torchvision").mkdir(parents=True, exist_ok=True)
    (home / "site" / "torchvision" / "__init__.py").write_text(
        "import os, shutil, time\n"
        "class datasets:\n"
        "    @staticmethod\n"
        f"    def FashionMNIST(root, download):\n        {download}\n"
        "    MNIST = FashionMNIST\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(home / "site"))


def fake_command(home: Path, name: str, script: str) -> None:
    """A shell script named `name`, the only one of that name on the path."""
    path = home / "bin" / name
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)


def fake_apt(home: Path, *, lists: bool) -> None:
    """apt-get and dpkg-deb of a host that has package lists, or that must fetch them first."""
    fake_command(
        home,
        "apt-get",
        f"""
        for word in "$@"; do
            case $word in -oDir::State::Lists=*) lists=${{word#*=}};; esac
            command=$word
            [ "$word" = update ] && [ -n "$lists" ] && touch "$lists/fetched"
            [ "$word" = download ] && break
        done
        if [ "$command" = download ]; then
            if [ {int(lists)} = 0 ] && [ ! -f "$lists/fetched" ]; then
                echo "E: Unable to locate package" >&2; exit 100
            fi
            touch dataset-fashion-mnist_1_all.deb
        fi""",
    )
    fake_command(
        home,
        "dpkg-deb",
        'test -f "$2" && mkdir -p "$3/usr/share/datasets" && '
        f'cp -r "{SLICE}" "$3/usr/share/datasets/"',
    )


def write_set(folder: Path, train: int = 24, test: int = 6) -> Path:
    """A small set of its own in `folder`: image i has i in each pixel, labels go 0 … 9."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        images = np.arange(count, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    return folder


# Splits


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_a_split_is_contiguous_tensors_of_the_documented_types(name: str) -> None:
    for split, count in (("train", 550), ("val", 50), ("test", 200)):
        found = load(name, split, SLICES)
        assert found.images.shape == (count, 1, 28, 28)
        assert found.images.dtype == torch.uint8
        assert found.images.is_contiguous()
        assert found.labels.shape == (count,)
        assert found.labels.dtype == torch.int64
        assert len(found) == count


@pytest.mark.usefixtures("published")
def test_validation_is_the_last_twelfth_of_published_training_files() -> None:
    train, val = (load("fashion-mnist", split, SLICES).images for split in ("train", "val"))
    raw = read_idx(FILES["train-images"], 3)
    assert np.array_equal(torch.cat([train, val])[:, 0].numpy(), raw)
    assert len(val) == len(raw) // 12


def test_own_files_in_a_set_s_place_are_divided_by_class_and_not_by_order(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", train=120)
    write_idx(folder / "train-labels-idx1-ubyte", np.repeat(np.arange(10, dtype=np.uint8), 12))
    train, val = load("mnist", "train", folder), load("mnist", "val", folder)
    assert sorted(val.labels.tolist()) == list(range(10))
    assert train.take(60).labels.unique().tolist() == list(range(10))
    pixels = torch.cat([train.images, val.images])[:, 0, 0, 0]
    assert torch.equal(pixels.sort().values, torch.arange(120, dtype=torch.uint8))
    assert torch.equal(train.labels, train.images[:, 0, 0, 0].long() // 12)


def test_several_splits_read_each_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def noted(path: Path, dims: int) -> object:
        read.append(path.name)
        return read_idx(path, dims)

    monkeypatch.setattr(datasets, "read_idx", noted)
    folder = write_set(tmp_path / "set")
    found = load_splits("mnist", ("train", "val", "test"), folder)
    assert sorted(read) == sorted(set(read))
    assert len(read) == 4
    for split, each in found.items():
        assert each.fingerprint() == load("mnist", split, folder).fingerprint()


def test_test_is_all_of_the_test_files(tmp_path: Path) -> None:
    found = load("mnist", "test", write_set(tmp_path / "set"))
    assert found.images[:, 0, 0, 0].tolist() == list(range(6))


def test_the_smallest_set_that_can_be_split_has_two_images(tmp_path: Path) -> None:
    two = write_set(tmp_path / "two", train=2, test=1)
    assert [len(load("mnist", split, two)) for split in ("train", "val", "test")] == [1, 1, 1]
    one = write_set(tmp_path / "one", train=1, test=1)
    with pytest.raises(DataError, match="at least 2 images to split, found 1"):
        load("mnist", "train", one)


def test_validation_does_not_keep_the_training_images_in_memory() -> None:
    load("mnist", "val", SLICES)  # whatever is allocated once
    tracemalloc.start()
    try:
        val = load("mnist", "val", SLICES)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 3 * val.images.numel(), "the 550 training images are kept too"


def test_writing_into_a_split_does_not_change_the_next_one() -> None:
    first = load("mnist", "test", SLICES)
    first.images.zero_()
    assert load("mnist", "test", SLICES).images.sum() > 0


def test_the_slices_are_balanced_in_every_ten_images() -> None:
    for name in ("fashion-mnist", "mnist"):
        for split in datasets.SPLITS:
            labels = load(name, split, SLICES).labels
            assert torch.equal(labels, torch.arange(10).repeat(len(labels) // 10))


def test_the_slices_are_small_enough_for_the_repository() -> None:
    assert sum(path.stat().st_size for path in SLICES.rglob("*.gz")) <= 1_500_000


def test_take_keeps_the_first_images_and_never_fails_for_too_many() -> None:
    split = load("mnist", "test", SLICES)
    assert torch.equal(split.take(3).images, split.images[:3])
    assert torch.equal(split.take(3).labels, split.labels[:3])
    assert split.take(None) is split
    assert len(split.take(10**6)) == 200
    with pytest.raises(ValueError, match="at least 1 image, not 0"):
        split.take(0)


def test_the_fingerprint_tells_pixels_labels_and_shape_apart() -> None:
    images, labels = torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.arange(4)
    one_pixel, one_label = images.clone(), labels.clone()
    one_pixel[3, 0, 27, 27] = 1
    one_label[0] = 9
    prints = [
        Split(images, labels).fingerprint(),
        Split(one_pixel, labels).fingerprint(),
        Split(images, one_label).fingerprint(),
        Split(images.view(4, 1, 14, 56), labels).fingerprint(),
    ]
    assert len(set(prints)) == 4
    assert prints[0] == Split(images.clone(), labels.clone()).fingerprint()
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in prints)


def test_the_fingerprint_of_the_slice_is_what_it_always_was() -> None:
    assert load("fashion-mnist", "test", SLICES).fingerprint() == "63d5975fc7e913a3"


# A user's folder


@pytest.mark.parametrize("inner", [".", "fashion-mnist", "FashionMNIST/raw", "raw"])
@pytest.mark.parametrize("joint", ["-", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_every_usual_layout_and_name_is_read(
    tmp_path: Path, inner: str, joint: str, packed: bool
) -> None:
    folder = tmp_path / "data" / inner
    folder.mkdir(parents=True)
    for path in FILES.values():
        content = path.read_bytes() if packed else gzip.decompress(path.read_bytes())
        name = path.name.replace("-idx", f"{joint}idx")
        (folder / (name if packed else name.removesuffix(".gz"))).write_bytes(content)
    for split in datasets.SPLITS:
        found = load("fashion-mnist", split, str(tmp_path / "data"))
        assert found.fingerprint() == load("fashion-mnist", split, SLICES).fingerprint()


def test_a_folder_of_the_same_name_as_a_file_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    path = folder / "train-images-idx3-ubyte"
    path.rename(folder / "train-images.idx3-ubyte")
    path.mkdir()  # as Kaggle's archive of MNIST unpacks
    assert len(load("mnist", "train", folder)) == 14  # one of each class is for validation


def test_the_tilde_of_a_data_folder_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "set")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load("mnist", "test", "~/set")) == 6


def spoil_missing(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").unlink()


def spoil_swapped(folder: Path) -> None:
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    images.rename(folder / "other")
    labels.rename(images)
    (folder / "other").rename(labels)


def spoil_truncated(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def spoil_count(folder: Path) -> None:
    write_idx(folder / "train-labels-idx1-ubyte", np.zeros(23, np.uint8))


def spoil_range(folder: Path) -> None:
    write_idx(folder / "train-labels-idx1-ubyte", np.array([0] * 20 + [10] * 4, np.uint8))


def spoil_size(folder: Path) -> None:
    write_idx(folder / "train-images-idx3-ubyte", np.zeros((24, 32, 28), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "file", "complaint"),
    [
        (spoil_missing, "train-labels-idx1-ubyte", "found only train-images-idx3-ubyte"),
        (spoil_swapped, "train-images-idx3-ubyte", "expected images .*, found labels"),
        (spoil_truncated, "train-images-idx3-ubyte", "18816 values .* found 18815"),
        (spoil_count, "train-labels-idx1-ubyte", "expected 24 labels, .* found 23"),
        (spoil_range, "train-labels-idx1-ubyte", "labels from 0 to 9, found 10 at 20"),
        (spoil_size, "train-images-idx3-ubyte", "28 × 28 pixels, found 32 × 28"),
    ],
)
def test_bad_files_are_named_with_expected_found_and_the_way_out(
    tmp_path: Path, spoil: Callable[[Path], None], file: str, complaint: str
) -> None:
    folder = write_set(tmp_path / "set")
    spoil(folder)
    with pytest.raises(DataError, match=complaint) as caught:
        load("fashion-mnist", "val", folder)
    message = str(caught.value)
    assert file in message
    assert "vae_trainables.datasets fetch fashion-mnist" in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert "\n" not in message


def test_a_data_folder_without_the_files_is_an_error_and_nothing_else_is_tried(
    tmp_path: Path, published: None
) -> None:
    shutil.copytree(SLICE, sources.cache_folder("fashion-mnist"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    for folder, complaint in (
        ("absent", "found none"),
        ("empty", "found an empty folder"),
        ("other", r"found notes\.txt"),
    ):
        with pytest.raises(DataError, match=complaint) as caught:
            load("fashion-mnist", "train", tmp_path / folder)
        assert str(tmp_path / folder) in str(caught.value)


def test_a_folder_that_may_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a mode would not stop root
    with pytest.raises(DataError, match="may not be read"):
        load("mnist", "train", tmp_path)


def test_another_published_file_in_a_files_place_is_refused(
    tmp_path: Path, published: None
) -> None:
    with pytest.raises(DataError, match="expected mnist's train-images, found fashion-mnist's"):
        load("mnist", "train", SLICE)
    shutil.copytree(SLICE, tmp_path / "set")
    for content in ("images-idx3", "labels-idx1"):
        shutil.copy(
            SLICE / f"t10k-{content}-ubyte.gz", tmp_path / "set" / f"train-{content}-ubyte.gz"
        )
    with pytest.raises(DataError, match="s train-images, found fashion-mnist's t10k-images"):
        load("fashion-mnist", "train", tmp_path / "set")


def test_a_full_size_set_of_other_contents_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    folder = write_set(tmp_path / "set")
    load("mnist", "train", folder)
    assert not [record for record in log.records if record.levelno >= logging.WARNING]
    monkeypatch.setattr(datasets, "FULL_SIZE", {"train": 24, "t10k": 6})
    load("mnist", "train", folder)
    warnings = [r.getMessage() for r in log.records if r.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "train-images-idx3-ubyte: as large as mnist's train-images" in warnings[0]


def test_unknown_names_are_refused_with_the_choice() -> None:
    with pytest.raises(DataError, match="unknown data set 'cifar': expected one of fashion-mnist"):
        load("cifar", "train")
    with pytest.raises(DataError, match="unknown split 'dev': expected one of train, val, test"):
        load("digits", "dev")


# The order of the sources


def place_in_cache(home: Path) -> None:
    shutil.copytree(SLICE, sources.cache_folder("fashion-mnist"))


def place_in_debian_folder(home: Path) -> None:
    shutil.copytree(SLICE, home / "debian" / "usr/share/datasets/fashion-mnist")


def test_sources_are_tried_in_the_stated_order_and_the_log_says_which(
    home: Path, monkeypatch: pytest.MonkeyPatch, published: None, log: pytest.LogCaptureFixture
) -> None:
    cache = sources.cache_folder("fashion-mnist")
    with pytest.raises(DataError, match="no usable t10k files"):
        load("fashion-mnist", "test")
    steps: list[tuple[str, Callable[[], None]]] = [
        ("apt-get download", lambda: fake_apt(home, lists=True)),
        (
            "torchvision's downloader",
            lambda: fake_torchvision(
                home, monkeypatch, f"shutil.copytree({str(SLICE)!r}, root + '/FashionMNIST/raw')"
            ),
        ),
        ("Debian package", lambda: place_in_debian_folder(home)),
        ("cache", lambda: place_in_cache(home)),
    ]
    for label, prepare in steps:
        shutil.rmtree(cache, ignore_errors=True)
        prepare()
        log.clear()
        assert len(load("fashion-mnist", "test")) == 200
        assert f"fashion-mnist: t10k files from {label}: " in log.messages[-1]
    log.clear()
    assert len(load("fashion-mnist", "test", SLICES)) == 200
    assert log.messages == [f"fashion-mnist: t10k files from data folder: {SLICES}/fashion-mnist"]


def test_a_download_serves_the_next_call_from_the_cache(
    home: Path, published: None, log: pytest.LogCaptureFixture
) -> None:
    fake_apt(home, lists=True)
    load("fashion-mnist", "train")
    (home / "bin" / "apt-get").unlink()
    load("fashion-mnist", "test")
    assert "from cache" in log.messages[-1]
    left = {path.name for path in sources.cache_folder("fashion-mnist").iterdir()}
    assert left == {path.name for path in FILES.values()}, "temporary files are left behind"


def test_apt_fetches_lists_of_its_own_where_the_host_has_none(
    home: Path, published: None, log: pytest.LogCaptureFixture
) -> None:
    fake_apt(home, lists=False)
    assert len(load("fashion-mnist", "test")) == 200
    assert "from apt-get download" in log.messages[-1]


def test_mnist_is_not_looked_for_in_debian(home: Path) -> None:
    fake_command(home, "apt-get", f"touch {home}/called")
    fake_command(home, "dpkg-deb", f"touch {home}/called")
    with pytest.raises(DataError, match="no network") as caught:
        load("mnist", "train")
    assert "apt" not in str(caught.value)
    assert not (home / "called").exists()


def test_a_damaged_cache_is_passed_over_and_mended_by_a_download(
    home: Path, published: None, log: pytest.LogCaptureFixture
) -> None:
    place_in_cache(home)
    damaged = sources.cache_folder("fashion-mnist") / FILES["t10k-images"].name
    write_idx(damaged, np.zeros((200, 28, 28), np.uint8))
    fake_apt(home, lists=True)
    assert load("fashion-mnist", "test").images.any()
    assert "not from cache" in log.messages[0]
    assert "expected fashion-mnist's t10k-images, found contents with the MD5" in log.messages[0]
    log.clear()
    load("fashion-mnist", "test")
    assert "from cache" in log.messages[-1]


def test_only_published_contents_are_taken_from_a_shared_place(home: Path) -> None:
    place_in_cache(home)
    with pytest.raises(DataError, match="found contents with the MD5"):
        load("fashion-mnist", "test")


def test_every_failed_source_is_one_part_of_one_line(home: Path) -> None:
    fake_command(home, "apt-get", "echo noise >&2; echo 'E: Unable to fetch' >&2; exit 100")
    fake_command(home, "dpkg-deb", "exit 1")
    with pytest.raises(DataError) as caught:
        load("fashion-mnist", "train")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("cache: ", "Debian package: ", "RuntimeError: no network", "E: Unable to fetch"):
        assert part in message


def test_a_download_that_hangs_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FETCH_SECONDS", 1)
    fake_torchvision(home, monkeypatch, "time.sleep(60)")
    started = time.monotonic()
    with pytest.raises(DataError, match="took longer than 1 s"):
        load("mnist", "train")
    assert time.monotonic() - started < 20


def test_a_cache_that_cannot_be_written_is_one_failed_source(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setenv(sources.CACHE_VARIABLE, str(home / "file"))
    with pytest.raises(DataError, match="file/mnist: cannot be written"):
        load("mnist", "train")


def test_the_cache_follows_the_variables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sources.cache_folder("mnist") == home / "cache" / "mnist"
    monkeypatch.delenv(sources.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert sources.cache_folder("mnist") == Path("/xdg/vae-studies/mnist")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert sources.cache_folder("mnist") == Path.home() / ".cache/vae-studies/mnist"


# The command line


def test_check_lists_the_splits_and_downloads_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_command(home, "apt-get", f"touch {home}/called")
    fake_command(home, "dpkg-deb", f"touch {home}/called")
    assert cli.main(["check", "fashion-mnist"]) == 2
    assert not (home / "called").exists()
    complaint = capsys.readouterr().err.strip()
    assert "no usable train files" in complaint
    assert cli.main(["check", "fashion-mnist", "--data-dir", str(SLICES)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["fashion-mnist", "train", "550"],
        ["fashion-mnist", "val", "50"],
        ["fashion-mnist", "test", "200"],
    ]
    assert lines[2].endswith("20 to 20 per class, fingerprint 63d5975fc7e913a3")


def test_fetch_fills_the_cache_and_says_where(
    home: Path, published: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["fetch", "fashion-mnist"]) == 2
    fake_apt(home, lists=True)
    assert cli.main(["fetch", "fashion-mnist"]) == 0
    expected = f"fashion-mnist is in {home}/cache/fashion-mnist"
    assert capsys.readouterr().out.strip() == expected


def test_fetch_fills_a_data_folder_and_leaves_a_filled_one_alone(
    home: Path, published: None, capsys: pytest.CaptureFixture[str]
) -> None:
    place_in_debian_folder(home)
    target = home / "new" / "folder"
    assert cli.main(["fetch", "fashion-mnist", "--data-dir", str(target)]) == 0
    assert len(load("fashion-mnist", "test", target)) == 200
    (target / FILES["train-labels"].name).unlink()
    capsys.readouterr()
    assert cli.main(["fetch", "fashion-mnist", "--data-dir", str(target)]) == 2
    assert "found only train-images-idx3-ubyte.gz" in capsys.readouterr().err
    assert not (target / FILES["train-labels"].name).exists()


def test_digits_need_no_fetching(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fetch", "digits"]) == 0
    assert capsys.readouterr().out.strip() == "digits is in scikit-learn"


def test_an_unknown_name_on_the_command_line_exits_with_2() -> None:
    assert cli.main(["check", "cifar"]) == 2


# Digits


def test_digits_are_split_by_class_and_never_change() -> None:
    splits = [load("digits", split) for split in datasets.SPLITS]
    assert [len(split) for split in splits] == [1201, 300, 296]
    counts = torch.stack([split.labels.bincount(minlength=10) for split in splits])
    share = counts / counts.sum(0)
    torch.testing.assert_close(share[0], torch.full((10,), 4 / 6), atol=0.01, rtol=0)
    assert [split.fingerprint() for split in splits] == [
        "8995a8846b326ad1",
        "95916541afceea30",
        "ce2b33a98c15044a",
    ]


def test_digits_are_the_bilinear_enlargement_of_all_of_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    raw = load_digits()
    small = torch.from_numpy(raw.images).float()[:, None] / 16
    large = functional.interpolate(small, (28, 28), mode="bilinear") * 255
    splits = [load("digits", split) for split in datasets.SPLITS]
    found = torch.cat([split.images for split in splits]).float()

    def in_order(images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).sum(1).sort().values

    torch.testing.assert_close(in_order(found), in_order(large), atol=28 * 28 / 2, rtol=0)
    first_zero = int((raw.target == 0).argmax())
    zero = splits[0].images[splits[0].labels == 0][0].float()
    torch.testing.assert_close(zero, large[first_zero], atol=0.501, rtol=0)


# The real sets, where this machine has them


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Fashion-MNIST is not installed")
def test_the_installed_fashion_mnist_is_the_published_one(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sources, "DEBIAN_ROOT", Path("/"))
    sizes = [len(load("fashion-mnist", split)) for split in datasets.SPLITS]
    assert sizes == [55_000, 5_000, 10_000]
    assert load("fashion-mnist", "test").fingerprint() == "3581bf52f5218031"
    assert "from Debian package" in log.messages[-1]


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Fashion-MNIST is not installed")
def test_the_slice_is_cut_from_the_real_test_images() -> None:
    full, cut = load("fashion-mnist", "test", DEBIAN), load("fashion-mnist", "test", SLICES)
    for label in range(10):
        expected = full.images[full.labels == label][:20]
        assert torch.equal(cut.images[cut.labels == label], expected)


@pytest.mark.skipif(not MNIST, reason="VAE_STUDIES_MNIST names no folder with MNIST")
def test_the_real_mnist_is_the_published_one(log: pytest.LogCaptureFixture) -> None:
    assert len(load("mnist", "train", MNIST)) == 55_000
    assert load("mnist", "test", MNIST).fingerprint() == "4718853ea946af65"
    assert not [record for record in log.records if record.levelno >= logging.WARNING]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no Debian-like host")
def test_apt_really_gives_the_published_set_where_it_is_not_installed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    try:
        load("fashion-mnist", "test")
    except DataError as error:
        if "apt-get failed" in str(error):
            pytest.skip(f"no package mirror can be reached: {error}")
        raise
    assert len(list(sources.cache_folder("fashion-mnist").glob("*.gz"))) == 4
