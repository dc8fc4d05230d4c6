"""Pictures from models: which images, which dimensions, in which order, and nothing blank."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import norm

from analysis.gallery import drawing, generation, images
from analysis.gallery.generation import QUANTILES, Dimension
from analysis.gallery.subject import Subject
from vae_trainables.config import TrialConfig
from vae_trainables.kinds import KINDS

TINY = TrialConfig(kind="mlp_vae", hidden=(8,), latent_dim=3, noise_factor=0.45)
VARIATIONAL = [name for name, kind in KINDS.items() if kind.variational]
Make = Callable[..., Subject]


def test_the_grid_shows_noisy_reconstruction_clean_of_every_class(make_subject: Make) -> None:
    subject = make_subject(TINY, language="en")
    indices = images.chosen(subject)
    assert sorted(subject.labels[indices]) == list(range(10))
    noisy, restored, clean = images.strips(subject)
    assert [strip.label for strip in (noisy, restored, clean)] == [
        "noisy",
        "reconstruction",
        "clean",
    ]
    np.testing.assert_array_equal(clean.images, subject.clean[indices])
    np.testing.assert_array_equal(noisy.images, subject.noisy[indices])
    assert float(noisy.texts[0]) == pytest.approx(10.0, abs=2.0)


def test_a_clean_run_shows_no_noisy_row(make_subject: Make) -> None:
    config = TINY.model_copy(update={"noise_factor": 0.0, "eval_noise_factor": 0.0})
    rows = images.strips(make_subject(config, language="en"))
    assert [row.label for row in rows] == ["input", "reconstruction"]
    assert rows[0].texts == ()


def test_dimensions_are_ordered_by_kl_and_dead_ones_are_inactive(make_subject: Make) -> None:
    subject = make_subject(TINY)
    heads = subject.trained.model.mean_head, subject.trained.model.logvar_head
    with torch.no_grad():
        for head in heads:
            head.weight[1] = 0
            head.bias[1] = 0
        heads[0].weight[2] *= 50
    found = generation.dimensions(subject)
    assert [each.number for each in found] == [2, 0, 1]
    assert (found[0].active, found[2].active) == (True, False)
    assert found[2].kl == 0


def test_a_traversal_moves_one_dimension_along_the_priors_quantiles(make_subject: Make) -> None:
    subject = make_subject(TINY)
    base = np.array([0.3, -0.2, 0.9], np.float32)
    found = generation.traversal(subject, 1, base)
    for image, quantile in zip(found, QUANTILES, strict=True):
        code = np.array([[0.3, norm.ppf(quantile), 0.9]], np.float32)
        np.testing.assert_allclose(image, subject.trained.decode(code)[0], atol=1e-6)


@pytest.mark.parametrize("kind", VARIATIONAL)
def test_every_kind_of_model_has_samples_and_sheets(make_subject: Make, kind: str) -> None:
    config = TrialConfig(kind=kind, widths=(4, 4), hidden=(8,), blocks=1, latent_dim=2)  # type: ignore[arg-type]
    subject = make_subject(config)
    samples = generation.samples(subject, 12)
    assert samples.shape == (12, 1, 28, 28)
    np.testing.assert_array_equal(samples, generation.samples(subject, 12))
    assert len({image.tobytes() for image in samples}) == 12
    found = generation.dimensions(subject)
    assert len(found) == subject.trained.model.noise_dim
    generation.draw_sheet(subject, found[0], 1, len(found))


def test_the_class_of_a_conditioned_models_samples_goes_round(make_subject: Make) -> None:
    config = TrialConfig(kind="cond_conv_vae", widths=(4, 4), latent_dim=2)
    subject = make_subject(config)
    eps = generation._draws(subject, 12)
    expected = subject.prior(eps, [*range(10), 0, 1])
    np.testing.assert_array_equal(generation.samples(subject, 12), expected)


def test_an_inactive_dimension_is_marked_in_title_and_rows(make_subject: Make) -> None:
    subject = make_subject(TINY, language="en")
    figure = generation.draw_sheet(subject, Dimension(1, 0.001, 0.0), 3, 3)
    title = figure.get_suptitle()
    assert title == "Latent dimension 1, 3 of 3 by KL: 0.001 nats (inactive)"
    colors = {text.get_color() for text in figure.texts}
    assert drawing.MUTED in colors
