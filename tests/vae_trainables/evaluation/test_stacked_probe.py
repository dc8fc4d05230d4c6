"""The probe of several models at once is scikit-learn's, to the minimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from vae_trainables.evaluation import representation, stacked_probe
from vae_trainables.evaluation.stacked_probe import accuracies

TOLERANCE = 0.002  # of the accuracy: scikit-learn stops before the minimum
CLASSES = 10


def clouds(count: int, seed: int, spread: float, width: int = 16) -> tuple[Tensor, Tensor]:
    """Codes (N, D) and classes (N,)."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, width, generator=torch.Generator().manual_seed(100))
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return centres[labels] + spread * torch.randn(count, width, generator=generator), labels


def several(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Codes (4, N, D) of models that tell the same images' classes apart more or less well."""
    codes, labels = clouds(count, seed, spread=0.3)
    noise = torch.randn(4, *codes.shape, generator=torch.Generator().manual_seed(seed + 1))
    return codes + torch.tensor([0.1, 0.5, 1.0, 3.0]).view(4, 1, 1) * noise, labels


def by_scikit_learn(train: Tensor, labels: Tensor, codes: Tensor, others: Tensor) -> float:
    arrays = (part.numpy() for part in (train, labels, codes, others))
    return representation.logistic_probe(*arrays).accuracy


def test_accuracies_are_scikit_learns() -> None:
    (train, train_labels), (codes, labels) = several(5000, 0), several(3000, 7)
    together = accuracies(train, train_labels, codes, labels)
    for slot, accuracy in enumerate(together.tolist()):
        own = by_scikit_learn(train[slot], train_labels, codes[slot], labels)
        assert accuracy == pytest.approx(own, abs=TOLERANCE)
    assert len(set(together.tolist())) == 4


@pytest.mark.parametrize("width", [2, 16, 40])
def test_weights_are_those_of_the_minimum(width: int) -> None:
    codes, labels = clouds(800, 1, spread=1.0, width=width)
    x, _ = stacked_probe._standardised(codes[None].double(), codes[None].double())
    weights = stacked_probe._fitted(x, labels, CLASSES)[0]
    exact = LogisticRegression(max_iter=100_000, tol=1e-10).fit(
        x[0, :, :-1].numpy(), labels.numpy()
    )
    np.testing.assert_allclose(weights[:-1].T, exact.coef_, atol=1e-4)
    centred = exact.intercept_ - exact.intercept_.mean()
    np.testing.assert_allclose(weights[-1], centred, atol=1e-4)
    assert weights[-1].sum() == pytest.approx(0, abs=1e-6)


def test_classes_that_are_far_apart_or_told_by_one_number_are_no_trouble() -> None:
    labels = torch.arange(500) % CLASSES
    one_hot = torch.eye(CLASSES)[labels]
    codes = torch.stack([one_hot, 1e6 * one_hot, 1e-6 * one_hot])
    assert accuracies(codes, labels, codes, labels).tolist() == [1.0, 1.0, 1.0]


def test_a_constant_code_is_chance_and_padding_counts_for_nothing() -> None:
    (train, train_labels), (codes, labels) = several(1000, 0), several(500, 7)
    own = accuracies(train, train_labels, codes, labels)
    padded = [torch.nn.functional.pad(part, (0, 5)) for part in (train, codes)]
    assert torch.equal(accuracies(padded[0], train_labels, padded[1], labels), own)
    flat = torch.full_like(train, 0.1), torch.full_like(codes, 0.1)
    chance = accuracies(flat[0], train_labels, flat[1], labels)
    commonest = train_labels.bincount().argmax()
    assert chance.tolist() == pytest.approx([float((labels == commonest).double().mean())] * 4)


def test_no_model_feels_another(monkeypatch: pytest.MonkeyPatch) -> None:
    (train, train_labels), (codes, labels) = several(1000, 0), several(500, 7)
    together = accuracies(train, train_labels, codes, labels)
    train[1, 3, 2] = torch.nan
    beside = accuracies(train, train_labels, codes, labels)
    assert beside.isnan().tolist() == [False, True, False, False]
    assert beside[[0, 2, 3]].tolist() == together[[0, 2, 3]].tolist()
    monkeypatch.setattr(stacked_probe, "BYTES", 1)
    assert accuracies(train, train_labels, codes, labels)[2:].tolist() == together[2:].tolist()


def test_labels_need_not_be_all_classes() -> None:
    codes, labels = clouds(600, 3, spread=0.5)
    chosen = (labels == 2) | (labels == 7)
    train, train_labels = codes[chosen][None], labels[chosen]
    (accuracy,) = accuracies(train, train_labels, codes[None], labels).tolist()
    own = by_scikit_learn(train[0], train_labels, codes, labels)
    assert accuracy == pytest.approx(own, abs=TOLERANCE)
    assert accuracy < 0.3
