"""Sets that go by a name: from their files where torchvision puts them, or by its downloader."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vae_trainables.datasets import made
from vae_trainables.datasets import DataError, open_source, sources
from vae_trainables.datasets.named import NAMED

GREY = made.images()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and a torchvision that puts there what a real one would."""
    site = tmp_path / "site/torchvision"
    site.mkdir(parents=True)
    made.idx(tmp_path / "served/EMNIST/raw", GREY, "emnist-letters-")
    made.idx(tmp_path / "served/EMNIST/raw", GREY, "emnist-digits-")
    (tmp_path / "served/EMNIST/raw/gzip.zip").touch()
    (site / "__init__.py").write_text(
        "import shutil\n"
        "class datasets:\n"
        "    @staticmethod\n"
        "    def EMNIST(root, split, download):\n"
        f"        shutil.copytree({str(tmp_path / 'served')!r}, root, dirs_exist_ok=True)\n"
        "    @staticmethod\n"
        "    def SVHN(root, split, download):\n"
        "        raise RuntimeError('no network')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv(sources.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_set_is_downloaded_once_and_nothing_else_of_its_archive_is_kept(cache: Path) -> None:
    source = open_source("emnist-letters")
    assert source.facts is not None
    assert (source.facts.name, source.facts.classes) == ("emnist-letters", ("0", "A", "B"))
    kept = sorted(path.name for path in (cache / "emnist-letters").iterdir())
    assert [name[:20] for name in kept] == ["emnist-letters-train"] * 2
    (cache.parent / "served").rename(cache.parent / "gone")
    again = open_source("fashion-mnist", data="emnist-letters").splits()
    assert again["val"].fingerprint() == source.splits()["val"].fingerprint()


def test_files_that_lie_where_torchvision_puts_them_are_read_there(tmp_path: Path) -> None:
    made.idx(tmp_path / "root/KMNIST/raw", GREY)
    for place in (tmp_path / "root", tmp_path / "root/KMNIST/raw"):
        facts = open_source("kmnist", data_dir=place).facts
        assert facts is not None
        assert facts.classes == ("o", "ki", "su")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("svhn", "no network"),
        ("cifar10", r"pickles, which are not read here: unpack .* \(cifar-10-binary.tar.gz\)"),
        ("usps", "has no attribute 'USPS'"),
    ],
)
def test_what_cannot_be_had_is_one_line(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_source(name).splits()
    assert "\n" not in str(caught.value)


def test_torchvision_has_every_class_and_keyword_that_is_declared() -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    import inspect

    for entry in NAMED.values():
        if entry.torchvision:
            parameters = inspect.signature(getattr(datasets, entry.torchvision)).parameters
            takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            for call in entry.calls:
                assert takes_any or set(call) <= set(parameters)
