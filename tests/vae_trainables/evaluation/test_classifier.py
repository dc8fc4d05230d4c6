"""The classes of noisy images: learned from training images alone, kept, and told to models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_trainables.cohort.support import config, small_data
from tests.vae_trainables.evaluation.test_features import bars
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.evaluation import classifier, features
from vae_trainables.evaluation import evaluator as evaluation
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.evaluation.features import FeatureNet
from vae_trainables.evaluation.helpers import with_helpers
from vae_trainables.training.trial import build_model

CPU = torch.device("cpu")
CONDITIONAL = config("cond_conv_vae", widths=(4, 8), latent_dim=4)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "LEAST_STEPS", 60)


def with_classifier(data: TrialData) -> TrialData:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return replace(data, classifier=FeatureNet().state_dict())


def test_training_with_the_noise_pays_under_the_noise() -> None:
    """It is measured there too, on images that it was not trained on."""
    split = bars(600)
    trained = classifier.train(split, "gaussian", 0.9)
    clean = features.train_feature_net(split).net
    images = split.images[540:].float() / 255
    noisy = (images + 0.9 * torch.randn(images.shape, generator=torch.Generator())).clip(0, 1)

    def accuracy(net: FeatureNet, given: Tensor) -> float:
        return float((classifier.predict(net, given) == split.labels[540:]).double().mean())

    assert accuracy(trained.net, noisy) > accuracy(clean, noisy) + 0.1
    assert trained.accuracy == pytest.approx(accuracy(trained.net, noisy), abs=0.2)
    assert accuracy(trained.net, images) > 0.9  # codes are of clean images


def test_it_is_kept_by_images_and_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    train = classifier.train
    monkeypatch.setattr(classifier, "train", lambda *given: made.append(given) or train(*given))
    wanted = [("gaussian", 0.5), ("gaussian", 0.5), ("gaussian", 0.4), ("masking", 0.5)]
    nets = [
        classifier.noisy_classifier(bars(100), kind, factor, folder=tmp_path)  # type: ignore[arg-type]
        for kind, factor in wanted
    ]
    assert [given[1:] for given in made] == [wanted[0], *wanted[2:]]
    first, again = nets[0].net.state_dict(), nets[1].net.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    classifier.noisy_classifier(bars(100), "masking", 0.5, folder=tmp_path)
    assert len(made) == 4


def test_no_class_is_predicted_that_the_model_does_not_know() -> None:
    net, images = FeatureNet().eval(), torch.rand(600, 1, 28, 28)
    assert int(classifier.predict(net, images, 3).max()) <= 2
    assert len(classifier.predict(net, images)) == 600


def test_helpers_are_there_where_they_are_needed_and_only_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = features.TrainedNet(FeatureNet(), 0.5)
    asked: list[Any] = []
    monkeypatch.setattr(features, "feature_net", lambda split: net)
    monkeypatch.setattr(
        classifier, "noisy_classifier", lambda *given: asked.append(given[1:]) or net
    )
    plain = with_helpers(small_data(), [config("mlp_vae")])
    assert (plain.feature_net, plain.classifier) == (None, None)
    drawn = with_helpers(small_data(), [config("mlp_vae", evaluations=("frechet",))])
    assert (drawn.feature_net is not None, drawn.classifier) == (True, None)
    told = with_helpers(small_data(), [config("mlp_vae"), CONDITIONAL])
    assert (told.feature_net, told.classifier is not None) == (None, True)
    assert asked == [("gaussian", 0.45)]


def test_without_a_classifier_a_prediction_is_refused_in_words() -> None:
    predicted = CONDITIONAL.model_copy(update={"class_source": "predicted"})
    with pytest.raises(ValueError, match="needs a classifier in the trial's data"):
        Evaluator(small_data(), CPU).validate(build_model(predicted), predicted)


def test_a_predicted_class_owes_nothing_to_the_true_one() -> None:
    """Neither do the codes that probes are fitted on, whatever the class source."""
    data = with_classifier(small_data())
    rolled = replace(data, val=Split(data.val.images, data.val.labels.roll(1)))
    model = build_model(CONDITIONAL)
    for source, same in (("given", False), ("predicted", True)):
        chosen = CONDITIONAL.model_copy(update={"class_source": source})
        before, after = (Evaluator(each, CPU).validate(model, chosen) for each in (data, rolled))
        assert (before == after) == same
        codes = [Evaluator(each, CPU)._codes(model, chosen, "val") for each in (data, rolled)]
        assert torch.equal(*codes)


def test_samples_have_the_classes_of_the_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as they are among them: here 3 of class 7 for each of class 2."""
    monkeypatch.setattr(evaluation, "FRECHET_SAMPLES", 1000)
    train = small_data().train
    labels = torch.where(torch.arange(len(train)) % 4 == 0, 2, 7)
    data = replace(
        small_data(), train=Split(train.images, labels), feature_net=FeatureNet().state_dict()
    )
    chosen = CONDITIONAL.model_copy(update={"evaluations": ("frechet",)})
    model = build_model(chosen)
    sample, asked = model.sample, []

    def watched(eps: Tensor, labels: Tensor | None = None) -> Tensor:
        asked.append(labels)
        return sample(eps, labels)

    model.sample = watched  # type: ignore[method-assign]
    found = Evaluator(data, CPU).validate(model, chosen)
    drawn = torch.cat(asked)
    assert set(drawn.tolist()) == {2, 7}
    assert float((drawn == 7).double().mean()) == pytest.approx(0.75, abs=0.05)
    assert found["val/frechet"] > 0


def test_the_test_set_is_told_of_by_both_sources() -> None:
    data = with_classifier(small_data())
    model = build_model(CONDITIONAL)
    found = {
        source: Evaluator(data, CPU)
        .test(model, CONDITIONAL.model_copy(update={"class_source": source}))
        .figures
        for source in ("given", "predicted")
    }
    assert found["given"]["test/predicted_mse"] == found["predicted"]["test/mse"]
    assert found["given"]["test/mse"] != found["predicted"]["test/mse"]
    assert found["given"]["test/class_accuracy"] == found["predicted"]["test/class_accuracy"]


def test_the_bound_is_of_variational_models_alone() -> None:
    def figures(kind: str) -> set[str]:
        chosen: TrialConfig = config(kind)
        return set(Evaluator(small_data(), CPU).test(build_model(chosen), chosen).figures)

    assert figures("mlp_vae") - figures("mlp_ae") == {
        "test/iw_nll",
        "test/iw_gain",
        "test/iw_samples",
        "test/iw_images",
    }
