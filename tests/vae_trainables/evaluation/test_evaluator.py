from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vae_trainables import datasets
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation import evaluator as evaluation
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.training.session import Session
from vae_trainables.training.trial import build_model

KINDS = ["mlp_ae", "mlp_vae", "conv_vae", "cond_conv_vae", "hier_conv_vae"]


@pytest.fixture(scope="module")
def data() -> TrialData:
    splits = [datasets.load("digits", name) for name in ("train", "val", "test")]
    return TrialData(*splits)


def config(**changes: object) -> TrialConfig:
    return TrialConfig.model_validate(
        {"dataset": "digits", "widths": (4, 8, 16), "hidden": (32,), "latent_dim": 4} | changes
    )


@pytest.mark.parametrize("likelihood", ["bernoulli", "sigma", "continuous_bernoulli", "gaussian"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_figure_depends_on_the_batch_size(
    data: TrialData, kind: str, likelihood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(kind=kind, likelihood=likelihood)
    model = build_model(settings)
    found = []
    for batch in (500, 37):
        monkeypatch.setattr(evaluation, "BATCH", batch)
        found.append(Evaluator(data, torch.device("cpu")).validate(model, settings))
    assert found[0] == pytest.approx(found[1], rel=2e-6, abs=1e-6)


def test_a_search_trial_cannot_look_at_the_test_split(data: TrialData) -> None:
    blind = TrialData(data.train, data.val)
    settings = config(kind="mlp_vae")
    model = build_model(settings)
    evaluator = Evaluator(blind, torch.device("cpu"))
    evaluator.validate(model, settings)
    with pytest.raises(PermissionError, match="no test split"):
        evaluator.test(model, settings)
    with pytest.raises(PermissionError, match="no test split"):
        evaluator.robustness(model, settings)


def test_validation_never_reads_test_images_where_there_are_some(data: TrialData) -> None:
    settings = config(kind="mlp_vae", evaluations=("probe",))
    model = build_model(settings)
    poisoned = TrialData(
        data.train,
        data.val,
        datasets.Split(torch.zeros_like(data.test.images), torch.zeros_like(data.test.labels)),
    )
    device = torch.device("cpu")
    assert Evaluator(data, device).validate(model, settings) == Evaluator(
        poisoned, device
    ).validate(model, settings)


def test_the_probe_is_fitted_on_training_codes_alone(data: TrialData) -> None:
    """With permuted training labels it falls to chance, whatever the validation labels are."""
    settings = config(kind="mlp_vae", evaluations=("probe",))
    model = build_model(settings)
    order = torch.randperm(len(data.train.labels), generator=torch.Generator().manual_seed(0))
    shuffled = datasets.Split(data.train.images, data.train.labels[order])
    device = torch.device("cpu")
    honest = Evaluator(data, device).validate(model, settings)["val/probe"]
    chance = Evaluator(TrialData(shuffled, data.val), device).validate(model, settings)["val/probe"]
    assert honest > 0.5
    assert chance < 0.25


def test_evaluation_noise_is_the_same_for_every_trial(data: TrialData) -> None:
    clean = evaluation.as_float(data.val.images)
    first = evaluation.evaluation_noise(clean, "gaussian", 0.45)
    assert torch.equal(first, evaluation.evaluation_noise(clean, "gaussian", 0.45))
    assert torch.equal(first[:7], evaluation.evaluation_noise(clean, "gaussian", 0.45)[:7])
    other = evaluation.evaluation_noise(clean, "gaussian", 0.45, draw_number=1)
    assert not torch.equal(first, other)


def test_a_conditional_model_is_told_the_classes(data: TrialData) -> None:
    settings = config(kind="cond_conv_vae")
    model = build_model(settings)
    device = torch.device("cpu")
    rolled = datasets.Split(data.val.images, data.val.labels.roll(1))
    before = Evaluator(data, device).validate(model, settings)["val/neg_elbo"]
    after = Evaluator(TrialData(data.train, rolled), device).validate(model, settings)
    assert before != after["val/neg_elbo"]


@pytest.mark.parametrize("kind", ["mlp_ae", "conv_vae"])
def test_what_is_kept_of_each_test_image_has_the_mean_that_is_logged(
    data: TrialData, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "ROBUSTNESS_FACTORS", (0.4,))
    session = Session(config(kind=kind, epochs=1), data, tmp_path, open_test=True)
    record = session.next_record()
    with np.load(tmp_path / "test_images.npz") as kept:
        assert kept["labels"].tolist() == data.test.labels.tolist()
        for name in ("psnr", "ssim", "neg_elbo"):
            assert kept[name].shape == (len(data.test),)
            mean = kept[name].astype(float).mean()
            assert mean == pytest.approx(record.metrics[f"test/{name}"], rel=1e-6)
