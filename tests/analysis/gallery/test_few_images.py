"""Collapsed codes, few images, one class: a figure or a remark, never the gallery's end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from analysis.gallery import downstream, latent
from analysis.gallery.output import Output
from analysis.gallery.subject import Subject
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split

CONFIG = TrialConfig(kind="mlp_vae", hidden=(8,), latent_dim=2)


def few(count: int, classes: int) -> Split:
    pixels = torch.randint(
        0, 256, (count, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    return Split(pixels, torch.arange(count) % classes)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("count", "dead", "remark"),
    [
        (12, False, None),
        (4, False, "an embedding needs at least 5 codes, got 4"),
        (12, True, "all 12 codes are alike: the latent has collapsed"),
    ],
)
def test_codes_that_cannot_be_placed_are_remarked(
    make_subject: Callable[..., Subject], tmp_path: Path, count: int, dead: bool, remark: str | None
) -> None:
    subject = make_subject(CONFIG, test=few(count, 2), language="en")
    if dead:
        with torch.no_grad():
            subject.trained.model.mean_head.weight.zero_()
    out = Output(tmp_path)
    latent.draw(subject, out)
    assert [path.name for path in out.files] == ["latent_pca.png", "latent_tsne.png"]
    expected = [f"latent_{method}.png: {remark}" for method in ("pca", "tsne")]
    assert out.remarks == (expected if remark else [])


def test_classifiers_need_two_classes_and_ten_neighbours(
    make_subject: Callable[..., Subject], tmp_path: Path
) -> None:
    for count, classes in ((1, 1), (12, 1), (9, 2), (10, 3)):
        subject = make_subject(CONFIG, test=few(3, 3))
        vars(subject)["train"] = few(count, classes)
        vars(subject)["probed"] = vars(subject)["train"]
        if classes == 1:
            assert downstream.unfit(subject) == "its training images are of one class"
            continue
        assert downstream.unfit(subject) == ""
        names = {result.classifier for result in downstream.measure(subject, Output(tmp_path))}
        assert names == set(downstream.CLASSIFIERS) - (
            {downstream.NEAREST} if count < 10 else set()
        )
