"""Probes and clusters on codes whose answer is known, and pictures of codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from vae_trainables.evaluation import representation
from vae_trainables.evaluation.representation import Codes, Labels, ProbeResult

CLASSES = 10
PROBES = [
    representation.logistic_probe,
    representation.knn_probe,
    representation.mlp_probe,
]
Probe = Callable[[Codes, Labels, Codes, Labels], ProbeResult]
every_probe = pytest.mark.parametrize("probe", PROBES)


def classes(count: int, seed: int = 0) -> Labels:
    """Shuffled labels, every class equally often."""
    return np.random.default_rng(seed).permutation(np.arange(count) % CLASSES)


def blobs(labels: Labels, seed: int = 0, spread: float = 1.0) -> Codes:
    """Float32 codes in 8 dimensions, a gaussian cloud per class."""
    centres = 4 * np.random.default_rng(100).standard_normal((CLASSES, 8))
    cloud = spread * np.random.default_rng(seed).standard_normal((len(labels), 8))
    return (centres[labels] + cloud).astype(np.float32)


# Probes


@every_probe
def test_codes_that_are_the_class_score_one(probe: Probe) -> None:
    train, test = classes(500), classes(200, seed=1)
    one_hot = np.eye(CLASSES, dtype=np.float32)
    result = probe(one_hot[train], train, one_hot[test], test)
    assert (result.accuracy, result.macro_f1) == (1.0, 1.0)
    assert (result.predictions == test).all()


@every_probe
def test_constant_codes_score_chance_even_if_rounding_tells_classes(probe: Probe) -> None:
    def nearly_constant(labels: Labels) -> Codes:
        lower = np.full((len(labels), 4), 0.1, np.float32)
        higher = np.nextafter(lower, np.float32(1))
        return np.where(labels[:, None] % 2, lower, higher)

    train, test = classes(500), classes(200, seed=1)
    result = probe(nearly_constant(train), train, nearly_constant(test), test)
    assert result.accuracy == pytest.approx(1 / CLASSES, abs=0.05)


@every_probe
def test_shuffled_labels_score_chance(probe: Probe) -> None:
    train, test = classes(2000), classes(3000, seed=1)
    shuffled = np.random.default_rng(2).permutation(train)
    result = probe(blobs(train, spread=8), shuffled, blobs(test, 1, spread=8), test)
    assert result.accuracy == pytest.approx(1 / CLASSES, abs=0.02)


@every_probe
def test_clouds_apart_are_told_apart_on_codes_not_seen_before(probe: Probe) -> None:
    train, test = classes(1000), classes(500, seed=1)
    assert probe(blobs(train), train, blobs(test, seed=1), test).accuracy > 0.97


@every_probe
def test_scale_and_offset_of_a_dimension_do_not_matter(probe: Probe) -> None:
    train, test = classes(600), classes(300, seed=1)
    codes, other = blobs(train, spread=3).astype(float), blobs(test, 1, spread=3).astype(float)
    scale, offset = np.logspace(-3, 3, 8), np.linspace(-50, 50, 8)
    plain = probe(codes, train, other, test)
    moved = probe(codes * scale + offset, train, other * scale + offset, test)
    assert np.mean(plain.predictions == moved.predictions) > 0.995


@every_probe
def test_evaluated_codes_neither_standardise_nor_influence_each_other(probe: Probe) -> None:
    train, test = classes(500), classes(300, seed=1)
    codes, other = blobs(train, spread=3), blobs(test, seed=1, spread=3)
    whole = probe(codes, train, other, test).predictions
    order = np.random.default_rng(3).permutation(300)
    shuffled = probe(codes, train, other[order], test[order]).predictions
    alone = probe(codes, train, other[:1], test[:1]).predictions
    assert (shuffled == whole[order]).all()
    assert alone[0] == whole[0]


@every_probe
def test_probes_repeat_exactly(probe: Probe) -> None:
    train = classes(300)
    codes = blobs(train, spread=3)
    first, second = (probe(codes, train, codes, train).predictions for _ in range(2))
    assert (first == second).all()


def test_macro_f1_weighs_rare_classes_like_common_ones() -> None:
    train = np.array([0] * 90 + [1] * 10)
    constant = np.zeros((100, 2))
    result = representation.logistic_probe(constant, train, constant, train)
    assert result.accuracy == pytest.approx(0.9)
    assert result.macro_f1 == pytest.approx((2 * 0.9 / 1.9 + 0) / 2)


@pytest.mark.parametrize("k", [0, 51])
def test_neighbours_that_do_not_exist_are_refused(k: int) -> None:
    train = classes(50)
    with pytest.raises(ValueError, match=f"from 1 to the 50 codes, got {k}"):
        representation.knn_probe(blobs(train), train, blobs(train), train, k=k)


@every_probe
def test_codes_of_a_diverged_encoder_are_refused(probe: Probe) -> None:
    train = classes(50)
    bad = blobs(train)
    bad[3, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 50 codes are not finite"):
        probe(bad, train, blobs(train), train)
    with pytest.raises(ValueError, match="1 of 50 codes are not finite"):
        probe(blobs(train), train, bad, train)


@pytest.mark.parametrize(
    ("codes", "labels", "message"),
    [
        (np.zeros((20, 8)), np.arange(19) % 2, r"20 codes need labels of shape \(20,\)"),
        (np.zeros((20, 7)), np.arange(20) % 2, "8 dimensions, the others 7"),
        (np.zeros(20), np.arange(20) % 2, r"shape \(N, D\)"),
        (np.zeros((0, 8)), np.zeros(0, int), "N > 0"),
    ],
)
def test_codes_and_labels_that_do_not_fit_are_refused(
    codes: Codes, labels: Labels, message: str
) -> None:
    train = classes(20)
    with pytest.raises(ValueError, match=message):
        representation.logistic_probe(blobs(train), train, codes, labels)


def test_a_single_training_class_is_refused_with_its_name() -> None:
    codes = np.zeros((20, 2))
    with pytest.raises(ValueError, match="all 20 training labels are 3"):
        representation.logistic_probe(codes, np.full(20, 3), codes, np.full(20, 3))


# Clusters


def test_tight_clouds_have_a_high_silhouette_and_shuffled_labels_none() -> None:
    labels = classes(600)
    codes = blobs(labels, spread=0.05)
    shuffled = np.random.default_rng(1).permutation(labels)
    assert representation.silhouette(codes, labels) > 0.95
    assert representation.silhouette(codes, shuffled) < 0.05


def test_silhouette_of_many_codes_is_that_of_a_fixed_part_of_them() -> None:
    labels = classes(representation.PAIRWISE_POINTS + 500)
    codes = blobs(labels, spread=2)
    first, second = (representation.silhouette(codes, labels, seed=0) for _ in range(2))
    assert first == second
    assert first == pytest.approx(representation.silhouette(codes, labels, seed=1), abs=0.05)


def test_clusters_that_are_the_classes_agree_whatever_their_numbers() -> None:
    labels = classes(500)
    assert representation.cluster_agreement(blobs(labels, spread=0.05), labels) == (1.0, 1.0)


def test_clusters_without_classes_agree_by_chance_only() -> None:
    labels = classes(2000)
    noise = np.random.default_rng(0).standard_normal((2000, 8))
    agreement = representation.cluster_agreement(noise, labels)
    assert agreement.ari == pytest.approx(0, abs=0.01)
    assert agreement.nmi < 0.03


# Principal components


def test_explained_variance_equals_scikit_learn() -> None:
    codes = blobs(classes(300))
    reference = PCA().fit(codes.astype(float)).explained_variance_ratio_
    found = representation.pca_explained_variance(codes)
    np.testing.assert_allclose(found, reference, atol=1e-6)


def test_explained_variance_of_known_axes() -> None:
    swing = np.array([-1.0, 1.0, 0.0, 0.0])
    codes = np.stack([3 * swing, swing[::-1], 0 * swing], axis=1)
    np.testing.assert_allclose(
        representation.pca_explained_variance(codes), [0.9, 0.1, 0.0], atol=1e-12
    )


def test_explained_variance_of_equal_codes_is_zero_not_nan() -> None:
    assert representation.pca_explained_variance(np.ones((5, 3))).tolist() == [0.0, 0.0, 0.0]


# Pictures


def test_trustworthiness_is_one_for_the_truth_and_near_half_for_noise() -> None:
    codes = np.random.default_rng(0).standard_normal((400, 2))
    noise = np.random.default_rng(1).standard_normal((400, 2))
    assert representation.trustworthiness(codes, 5 * codes) == 1.0
    assert representation.trustworthiness(codes, noise) == pytest.approx(0.5, abs=0.06)


def test_trustworthiness_needs_a_point_per_code() -> None:
    with pytest.raises(ValueError, match="5 codes but 4 points"):
        representation.trustworthiness(np.zeros((5, 3)), np.zeros((4, 2)))


def test_pca_picture_keeps_the_two_widest_axes() -> None:
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((200, 4)) * [0.1, 5, 0.1, 2]
    points, indices = representation.embed_2d(codes)
    assert (indices == np.arange(200)).all()
    assert abs(np.corrcoef(points[:, 0], codes[:, 1])[0, 1]) > 0.999
    assert abs(np.corrcoef(points[:, 1], codes[:, 3])[0, 1]) > 0.999


@pytest.mark.parametrize("method", ["pca", "tsne", pytest.param("umap", marks=pytest.mark.slow)])
def test_pictures_repeat_and_keep_clouds_apart(method: Any) -> None:
    labels = classes(200)
    codes = blobs(labels, spread=0.3)
    first = representation.embed_2d(codes, method, seed=1, max_points=150)
    second = representation.embed_2d(codes, method, seed=1, max_points=150)
    np.testing.assert_array_equal(first.points, second.points)
    assert first.points.shape == (150, 2)
    assert len(set(first.indices.tolist())) == 150
    shown = labels[first.indices]
    assert representation.knn_probe(first.points, shown, first.points, shown, k=3).accuracy > 0.9


@pytest.mark.parametrize("method", ["pca", "tsne", pytest.param("umap", marks=pytest.mark.slow)])
def test_codes_of_one_dimension_can_be_pictured(method: Any) -> None:
    codes = np.linspace(0, 1, 40)[:, None]
    assert np.isfinite(representation.embed_2d(codes, method).points).all()


def test_umap_that_is_not_installed_is_said_so_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(
        representation.EmbeddingUnavailableError, match=r"umap-learn.*choose pca or tsne"
    ):
        representation.embed_2d(np.eye(10, 3), "umap")


def test_an_unknown_picture_names_the_known_ones() -> None:
    unknown: Any = "isomap"
    with pytest.raises(ValueError, match="'isomap': expected one of pca, umap, tsne"):
        representation.embed_2d(np.zeros((10, 3)), unknown)


def test_too_few_codes_for_a_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 codes, got 4"):
        representation.embed_2d(np.zeros((10, 3)), max_points=4)


COLLAPSED = [
    np.ones((30, 4), np.float32),
    np.full((30, 3), 0.1),
    np.zeros((30, 1), np.float32),
    np.float32(0.7) * (1 + np.float32(6e-8) * (np.arange(60).reshape(30, 2) % 2)),  # rounding
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("codes", COLLAPSED)
@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_codes_that_are_all_alike_would_warn_or_end_the_process(
    method: representation.EmbeddingMethod, codes: representation.Codes
) -> None:
    """scikit-learn's t-SNE dies of them by a signal, its PCA divides by zero."""
    with pytest.raises(ValueError, match=r"all 30 codes are alike: the latent has collapsed"):
        representation.embed_2d(codes, method)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 12])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_few_codes_give_figures_or_a_reason_and_a_quiet_console(count: int, classes: int) -> None:
    random = np.random.default_rng(count)
    labels = np.arange(count) % classes
    for codes in (
        random.normal(size=(count, 3)),
        np.repeat(random.normal(size=(1, 3)), count, 0),  # all alike
        np.where(np.arange(count)[:, None] < count // 2, 0.0, random.normal(size=(1, 3))),  # two
    ):
        _reasoned(lambda c=codes: representation.silhouette(c, labels))
        _reasoned(lambda c=codes: representation.cluster_agreement(c, labels).nmi)
        _reasoned(lambda c=codes: representation.embed_2d(c, "pca").points)
        _reasoned(lambda c=codes: representation.pca_explained_variance(c))
        for probe in (representation.logistic_probe, representation.knn_probe):
            _reasoned(lambda c=codes, p=probe: p(c, labels, c, labels).accuracy)


def _reasoned(figure: Callable[[], object]) -> None:
    """A finite figure, or a ValueError."""
    with suppress(ValueError):
        assert np.isfinite(np.asarray(figure())).all()


@pytest.mark.parametrize("count", [5, 6, 12])
def test_tsne_places_few_codes(count: int) -> None:
    codes = np.random.default_rng(0).normal(size=(count, 3))
    assert np.isfinite(representation.embed_2d(codes, "tsne").points).all()
