"""Classifiers on codes and on pixels: same images for both, confusion that adds up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.gallery import downstream
from analysis.gallery.downstream import CLASSIFIERS, Result
from analysis.gallery.output import Output
from analysis.gallery.subject import Subject
from vae_trainables.config import TrialConfig

CONFIG = TrialConfig(kind="mlp_vae", hidden=(32,), latent_dim=8, train_size=300)


@pytest.fixture
def measured(make_subject: Callable[..., Subject], tmp_path: Path) -> tuple[Subject, list[Result]]:
    subject = make_subject(CONFIG, language="en")
    return subject, downstream.measure(subject, Output(tmp_path))


def test_all_classifiers_are_judged_on_codes_and_on_pixels(
    measured: tuple[Subject, list[Result]],
) -> None:
    subject, results = measured
    assert [(r.classifier, r.source, r.inputs) for r in results] == [
        (name, source, inputs)
        for name in CLASSIFIERS
        for source, inputs in (("codes", 8), ("pixels", 784))
    ]
    for result in results:
        assert result.confusion.sum() == len(subject.test)
        assert result.accuracy == pytest.approx(np.trace(result.confusion) / len(subject.test))
        assert result.accuracy > 0.3
        np.testing.assert_array_equal(result.confusion.sum(1), np.bincount(subject.labels))


def test_the_table_says_on_how_many_images(measured: tuple[Subject, list[Result]]) -> None:
    table = downstream.table(*measured)
    assert "550 clean training images" in table.note
    assert "60 test images" in table.note


def test_the_figure_shows_the_classifier_that_is_best_on_codes(
    measured: tuple[Subject, list[Result]],
) -> None:
    subject, results = measured
    best = max(results[::2], key=lambda r: r.accuracy).classifier
    titles = [axes.get_title() for axes in downstream.draw_confusion(subject, results).axes]
    assert titles[0].startswith(f"{best} on codes")
    assert titles[1].startswith(f"{best} on pixels")


def test_a_class_that_does_not_occur_is_a_row_of_zeros() -> None:
    confusion = np.array([[3, 1], [0, 0]])
    shares = Result("x", "codes", 2, 0.75, 0.5, confusion).shares
    np.testing.assert_array_equal(shares, [[0.75, 0.25], [0, 0]])
