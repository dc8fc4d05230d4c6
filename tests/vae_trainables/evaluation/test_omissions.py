"""Tiny data: every figure is there or left out with a reason, and no trial dies of it."""

from __future__ import annotations

import math
import warnings
from itertools import product
from pathlib import Path

import pytest
import torch

from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.evaluation import baselines, evaluator, features, omissions
from vae_trainables.evaluation.evaluator import as_float, evaluation_noise
from vae_trainables.kinds import KINDS as BUILT_IN
from vae_trainables.training.session import Record, Session

SIZES = (1, 2, 3, 9, 10, 12)  # images to train on; others are one of them
VALIDATION = {
    "neg_elbo", "recon", "kl", "mse", "psnr", "ssim", "active_units", "supcon", "probe",
}  # fmt: skip
ASKED_FOR = {
    "val": VALIDATION | {"frechet"},
    "test": VALIDATION | {"knn"},
}


def split(images: int, classes: int, seed: int, first: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return Split(pixels, first + torch.arange(images) % classes)


def config(kind: str = "mlp_vae", **changes: object) -> TrialConfig:
    small = {"kind": kind, "widths": (2, 4), "hidden": (8,), "latent_dim": 2, "blocks": 1}
    asked = {"evaluations": ("probe", "frechet"), "supcon_gamma": 1.0, "epochs": 1}
    return TrialConfig.model_validate(small | asked | {"num_classes": 4} | changes)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer repeats of what is the same for all data."""
    monkeypatch.setattr(evaluator, "FRECHET_SAMPLES", 20)
    monkeypatch.setattr(evaluator, "ROBUSTNESS_FACTORS", (0.4,))


@pytest.fixture(scope="module")
def net() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        return dict(features.FeatureNet().state_dict())


def trained(settings: TrialConfig, data: TrialData, folder: Path) -> Record:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return Session(settings, data, folder, open_test=True).next_record()


def assert_whole(record: Record, variational: bool) -> None:
    """Each figure is there and finite, or a note says why it is not."""
    assert record.outcome == "finished", record.reason
    assert all(math.isfinite(value) for value in record.metrics.values()), record.metrics
    for name, figures in ASKED_FOR.items():
        asked = {f"{name}/{figure}" for figure in figures}
        if not variational:
            asked.discard("val/frechet")
        elif name == "test":
            asked |= {f"test/iw_{what}" for what in ("nll", "gain", "samples", "images")}
        measured_too = {
            m for m in record.metrics if m.startswith(("test/predicted_", "test/class_"))
        }
        omitted = {note.split(" is left out: ")[0] for note in record.notes}
        measured = {metric for metric in record.metrics if metric.startswith(f"{name}/")}
        assert asked == (measured - measured_too) | (omitted & asked), record.notes
        assert not measured & omitted


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("images", SIZES)
def test_a_trial_lives_on_any_tiny_data_set(
    images: int, classes: int, net: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    for number, others in enumerate((1, 2, 12)):
        data = TrialData(
            split(images, classes, 0), split(others, classes, 1), split(others, classes, 2), net
        )
        record = trained(config(), data, tmp_path / str(number))
        assert_whole(record, variational=True)
        assert ("val/probe" in record.metrics) == (images > 1 and classes > 1)
        assert ("val/active_units" in record.metrics) == (others > 1)
        assert ("val/frechet" in record.metrics) == (images >= 10 and others > 1)
        assert ("test/knn" in record.metrics) == (images >= 10 and classes > 1)


@pytest.mark.parametrize("kind", list(BUILT_IN))
def test_so_it_does_with_every_kind_of_model(
    kind: str, net: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    for images, classes in product((1, 12), (1, 3)):
        parts = [split(images, classes, seed) for seed in range(3)]
        settings = config(kind)
        told = net if settings.model.conditional and images >= 10 else None
        record = trained(settings, TrialData(*parts, net, told), tmp_path / f"{images}-{classes}")
        assert_whole(record, settings.model.variational)


def test_a_class_that_only_validation_has_is_merely_not_recognised(tmp_path: Path) -> None:
    data = TrialData(split(12, 2, 0), split(6, 2, 1, first=2), split(6, 2, 2, first=2))
    record = trained(config(evaluations=("probe",)), data, tmp_path)
    assert record.metrics["val/probe"] == record.metrics["test/probe"] == 0


def test_what_nobody_asked_for_is_not_remarked(tmp_path: Path) -> None:
    data = TrialData(split(12, 1, 0), split(12, 1, 1))
    session = Session(config(evaluations=()), data, tmp_path, open_test=False)
    assert session.next_record().notes == []


@pytest.mark.parametrize(
    ("metric", "changes", "reason"),
    [
        ("val/probe", {"evaluations": ()}, "evaluations name 'probe'"),
        ("val/frechet", {"evaluations": ("probe",)}, "name 'frechet' and the model is variational"),
        ("val/frechet", {"kind": "mlp_ae"}, "the model is variational"),
        ("val/supcon", {"supcon_gamma": 0.0}, "supcon_gamma is above 0"),
        ("val/supcon", {}, None),
        ("val/mse", {"evaluations": ()}, None),
    ],
)
def test_a_metric_that_a_configuration_never_measures(
    metric: str, changes: dict[str, object], reason: str | None
) -> None:
    found = omissions.unmeasured(config(**changes), metric)  # type: ignore[arg-type]
    assert found is None if reason is None else found is not None and found.endswith(reason)


@pytest.mark.parametrize("images", [2, 3, 5, 12])
def test_baselines_denoise_whatever_few_images_they_learn_from(images: int, tmp_path: Path) -> None:
    train, judged = split(images, 1, 0), split(1, 1, 1)
    noisy = [
        evaluation_noise(as_float(part.images), "gaussian", 0.45, draw_number=number)
        for number, part in enumerate((train, judged))
    ]
    training = baselines.Training(train.images, noisy[0])
    quick = [name for name in baselines.FLOORS if "means" not in name and "total" not in name]
    rows = baselines.evaluate_all(
        training, noisy[1], as_float(judged.images), components=2, names=quick, folder=tmp_path
    )
    assert all(math.isfinite(row["mse"]) for row in rows)
