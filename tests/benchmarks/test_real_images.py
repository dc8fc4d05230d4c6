"""Benchmarks find their images as everything else does: by the data layer, on any machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch
from torchvision.datasets import FashionMNIST

from benchmarks import real_images
from vae_trainables import datasets
from vae_trainables.datasets import sources

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "benchmarks").glob("*.py"))
LOADERS = ("load", "load_splits", "fetch", "published", "sources")
SLICE = ROOT / "tests/data/fashion-mnist"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_benchmark_knows_a_folder_of_somebodys_machine(module: Path) -> None:
    """Neither an absolute path nor one into a home begins a string."""
    strings = {
        node.value
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not [text for text in strings if re.match(r"(~|/\w+)/", text) or "usr/share" in text]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_benchmark_goes_past_the_one_way_to_real_images(module: Path) -> None:
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    if module.stem != "real_images":
        past = {"vae_trainables.datasets", *(f"vae_trainables.datasets.{each}" for each in LOADERS)}
        assert not imported & past


def test_torchvision_reads_what_is_written_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = datasets.load_splits("fashion-mnist", datasets.SPLITS, SLICE)
    monkeypatch.setattr(datasets, "load_splits", lambda *_: splits)
    real_images.write_for_torchvision(tmp_path)
    train, test = (FashionMNIST(str(tmp_path), train=train) for train in (True, False))
    whole = torch.cat([splits["train"].images, splits["val"].images])
    assert torch.equal(train.data[:, None], whole)
    assert torch.equal(test.targets, splits["test"].labels)


def test_images_that_are_nowhere_end_a_benchmark_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(sources.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(sources, "DEBIAN_ROOT", tmp_path)
    monkeypatch.setattr("vae_trainables.datasets.published.remote_sources", lambda name: [])
    with pytest.raises(SystemExit) as ended:
        real_images.load("fashion-mnist")
    assert ended.value.code == 2
    assert "fetch fashion-mnist" in capsys.readouterr().err
