"""What codes know: probes with labels, clusters without, and two-dimensional embeddings.

Everything takes arrays of codes `(N, D)`, as `Autoencoder.encode` gives them (the latent mean),
and runs on the CPU with scikit-learn. Probes are fitted on training codes alone and standardise
with training statistics alone. Nothing here depends on the order of the evaluated codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]
EmbeddingMethod = Literal["pca", "umap", "tsne"]

PAIRWISE_POINTS = 2_000  # figures over all pairs take this many codes at most: their cost is N²
NEIGHBOURS = 10  # of the k-NN probe
MLP_WIDTH = 64
MLP_EPOCHS = 30
_LEAST_POINTS = 5  # below, neither UMAP nor t-SNE has neighbours to speak of


class EmbeddingUnavailableError(RuntimeError):
    """The library that an embedding method needs is not installed; the message says which."""


@dataclass(frozen=True)
class ProbeResult:
    """How well a classifier on codes does on codes it was not fitted on.

    Attributes:
        accuracy: share of correct predictions.
        macro_f1: F1 averaged over the classes, each with the same weight.
        predictions: class of each evaluated code, `(N,)`.
    """

    accuracy: float
    macro_f1: float
    predictions: Labels


class ClusterAgreement(NamedTuple):
    """Agreement of clusters with classes: 1 is perfect; `ari` is 0 by chance, `nmi` near it."""

    nmi: float
    ari: float


class Embedding(NamedTuple):
    """A picture of codes: where the codes `indices` `(n,)` lie, float64 `(n, 2)`."""

    points: NDArray[np.float64]
    indices: NDArray[np.int64]


def logistic_probe(
    train_codes: Codes, train_labels: Labels, codes: Codes, labels: Labels
) -> ProbeResult:
    """Multinomial logistic regression on standardised codes, L2 penalty 1/2 |W|² (C = 1).

    Raises ValueError for codes and labels that do not fit together, codes that are not finite,
    or fewer than two classes to learn; so do the other probes.
    """
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(max_iter=1000)
    return _probe(classifier, train_codes, train_labels, codes, labels)


def knn_probe(
    train_codes: Codes, train_labels: Labels, codes: Codes, labels: Labels, *, k: int = NEIGHBOURS
) -> ProbeResult:
    """Majority of the `k` nearest training codes, standardised, Euclidean distance."""
    from sklearn.neighbors import KNeighborsClassifier

    if not 1 <= k <= len(train_codes):
        raise ValueError(f"knn_probe needs k from 1 to the {len(train_codes)} codes, got {k}")
    return _probe(KNeighborsClassifier(k), train_codes, train_labels, codes, labels)


def mlp_probe(
    train_codes: Codes, train_labels: Labels, codes: Codes, labels: Labels, *, seed: int = 0
) -> ProbeResult:
    """A downstream classifier on standardised codes: one hidden layer of 64, 30 epochs of Adam."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    classifier = MLPClassifier(
        (MLP_WIDTH,),
        batch_size=min(256, len(train_codes)),
        learning_rate_init=2e-3,
        max_iter=MLP_EPOCHS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # A fixed number of epochs is the definition of this probe, not a failure to converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _probe(classifier, train_codes, train_labels, codes, labels)


def silhouette(codes: Codes, labels: Labels, *, seed: int = 0) -> float:
    """Mean silhouette of the classes as clusters (Rousseeuw 1987), from -1 to 1, Euclidean.

    Of at most `PAIRWISE_POINTS` codes, drawn with `seed`. Raises ValueError where they are of one
    class, or each of a class of its own.
    """
    from sklearn.metrics import silhouette_score

    _require_fitting(codes, labels)
    indices = _subset(len(codes), PAIRWISE_POINTS, seed)
    return float(silhouette_score(codes[indices], labels[indices]))


def cluster_agreement(codes: Codes, labels: Labels, *, seed: int = 0) -> ClusterAgreement:
    """Normalised mutual information and adjusted Rand index of k-means clusters with `labels`.

    As many clusters as classes, best of four starts by k-means++ with `seed`; fewer where there
    are fewer different codes.
    """
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    _require_fitting(codes, labels)
    kmeans = KMeans(len(np.unique(labels)), n_init=4, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of codes that are alike
        clusters = kmeans.fit_predict(codes)
    nmi = normalized_mutual_info_score(labels, clusters)
    return ClusterAgreement(float(nmi), float(adjusted_rand_score(labels, clusters)))


def pca_explained_variance(codes: Codes) -> NDArray[np.float64]:
    """Share of the variance along each principal component, falling, `(min(N, D),)`.

    All zeros for codes that are all alike.
    """
    _require_finite(codes)
    centred = codes - codes.mean(0, dtype=np.float64)
    variance = np.linalg.svd(centred, compute_uv=False) ** 2
    shares: NDArray[np.float64] = variance / max(variance.sum(), np.finfo(np.float64).tiny)
    return shares


def trustworthiness(codes: Codes, points: Codes, *, neighbours: int = 5, seed: int = 0) -> float:
    """How many neighbours in the picture are neighbours in truth, 0 to 1 (Venna & Kaski 2001).

    `points` `(N, 2)` are the places of `codes` `(N, D)`; of at most `PAIRWISE_POINTS` of them.
    """
    from sklearn.manifold import trustworthiness as sklearn_trustworthiness

    if len(codes) != len(points):
        raise ValueError(f"{len(codes)} codes but {len(points)} points: expected one point each")
    indices = _subset(len(codes), PAIRWISE_POINTS, seed)
    value = sklearn_trustworthiness(codes[indices], points[indices], n_neighbors=neighbours)
    return float(value)


def embed_2d(
    codes: Codes, method: EmbeddingMethod = "pca", *, seed: int = 0, max_points: int = 5_000
) -> Embedding:
    """Places of at most `max_points` codes in the plane; the same `seed`, the same places.

    Raises:
        EmbeddingUnavailableError: `method` needs a library that is not installed.
        ValueError: unknown method, fewer than 5 codes, codes that are not finite, or all alike.
    """
    if method not in _EMBEDDINGS:
        raise ValueError(f"unknown embedding {method!r}: expected one of {', '.join(_EMBEDDINGS)}")
    _require_finite(codes)
    indices = _subset(len(codes), max_points, seed)
    if len(indices) < _LEAST_POINTS:
        raise ValueError(f"an embedding needs at least {_LEAST_POINTS} codes, got {len(indices)}")
    if collapsed(codes[indices]):  # of which scikit-learn's t-SNE dies, process and all
        raise ValueError(f"all {len(indices)} codes are alike: the latent has collapsed")
    missing = max(0, 2 - codes.shape[1])  # codes on a line stay on a line in the plane
    plane = np.pad(np.asarray(codes[indices], np.float64), ((0, 0), (0, missing)))
    points = _EMBEDDINGS[method](plane, seed)
    return Embedding(np.asarray(points, np.float64), indices)


def _pca(codes: Codes, seed: int) -> Codes:
    from sklearn.decomposition import PCA

    points: Codes = PCA(2, svd_solver="full").fit_transform(codes)
    return points


def _umap(codes: Codes, seed: int) -> Codes:
    try:
        import umap
    except ImportError as error:
        raise EmbeddingUnavailableError(
            "UMAP needs the package umap-learn, which cannot be imported here "
            f"({error}): install it, or choose pca or tsne"
        ) from error
    reducer = umap.UMAP(n_neighbors=min(15, len(codes) - 1), random_state=seed, n_jobs=1)
    points: Codes = reducer.fit_transform(codes)
    return points


def _tsne(codes: Codes, seed: int) -> Codes:
    from sklearn.manifold import TSNE

    tsne = TSNE(2, perplexity=min(30.0, (len(codes) - 1) / 3), init="pca", random_state=seed)
    points: Codes = tsne.fit_transform(codes)
    return points


_EMBEDDINGS: dict[EmbeddingMethod, Callable[[Codes, int], Codes]] = {
    "pca": _pca,
    "umap": _umap,
    "tsne": _tsne,
}


def _probe(
    classifier: Any, train_codes: Codes, train_labels: Labels, codes: Codes, labels: Labels
) -> ProbeResult:
    from sklearn.metrics import f1_score

    _require_fitting(train_codes, train_labels)
    _require_fitting(codes, labels)
    if train_codes.shape[1] != codes.shape[1]:
        raise ValueError(
            f"training codes have {train_codes.shape[1]} dimensions, the others {codes.shape[1]}"
        )
    if len(np.unique(train_labels)) < 2:
        raise ValueError(
            f"a probe needs at least 2 classes, but all {len(train_labels)} training labels are "
            f"{train_labels[0]}: take more training images"
        )
    train_codes, codes = _standardised(train_codes, codes)
    predictions = classifier.fit(train_codes, train_labels).predict(codes)
    return ProbeResult(
        accuracy=float(np.mean(predictions == labels)),
        macro_f1=float(f1_score(labels, predictions, average="macro", zero_division=0)),
        predictions=predictions,
    )


def _standardised(train_codes: Codes, codes: Codes) -> tuple[Codes, Codes]:
    """Both with the mean and deviation of the training codes; float64, as sums of float32 drift.

    A constant dimension becomes zeros: rounding must not be blown up into a feature.
    """
    mean, deviation = train_codes.mean(0, dtype=np.float64), train_codes.std(0, dtype=np.float64)
    scale = np.where(_constant(train_codes), np.inf, deviation)
    return (train_codes - mean) / scale, (codes - mean) / scale


def collapsed(codes: Codes) -> bool:
    """Whether all codes `(N, D)` are alike, up to rounding: they know nothing of their images."""
    return bool(_constant(codes).all())


def _constant(codes: Codes) -> NDArray[np.bool_]:
    """Which dimensions, `(D,)`, hold one value, up to the rounding of float32."""
    mean, deviation = codes.mean(0, dtype=np.float64), codes.std(0, dtype=np.float64)
    constant: NDArray[np.bool_] = deviation <= 1e-7 * np.maximum(np.abs(mean), 1e-30)
    return constant


def _subset(count: int, limit: int, seed: int) -> NDArray[np.int64]:
    """Which of `count` codes to take, rising; all of them if there are no more than `limit`."""
    if count <= limit:
        return np.arange(count)
    indices = np.random.default_rng(seed).choice(count, limit, replace=False)
    return np.sort(indices)


def _require_fitting(codes: Codes, labels: Labels) -> None:
    _require_finite(codes)
    if labels.shape != (len(codes),):
        raise ValueError(
            f"{len(codes)} codes need labels of shape ({len(codes)},), got {labels.shape}"
        )


def _require_finite(codes: Codes) -> None:
    if codes.ndim != 2 or not len(codes):
        raise ValueError(f"expected codes of shape (N, D) with N > 0, got {codes.shape}")
    if not np.isfinite(codes).all():
        bad = int((~np.isfinite(codes).all(1)).sum())
        raise ValueError(f"{bad} of {len(codes)} codes are not finite: the encoder has diverged")
