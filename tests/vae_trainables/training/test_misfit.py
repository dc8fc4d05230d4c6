"""What cannot be trained on the data is known before a trial begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.evaluation import features
from vae_trainables.kinds import KINDS as BUILT_IN
from vae_trainables.training.misfit import misfit
from vae_trainables.training.session import Session

NET = dict(features.FeatureNet().state_dict())


def split(
    images: int = 12, channels: int = 1, height: int = 28, width: int = 28, classes: int = 4
) -> Split:
    pixels = torch.zeros(images, channels, height, width, dtype=torch.uint8)
    return Split(pixels, torch.arange(images) % classes)


def data(val: Split | None = None, **shape: int) -> TrialData:
    return TrialData(split(**shape), split(**shape) if val is None else val, None, NET)


def config(kind: str = "mlp_vae", **changes: object) -> TrialConfig:
    small = {"kind": kind, "widths": (2, 4), "hidden": (8,), "latent_dim": 2, "blocks": 1}
    return TrialConfig.model_validate(small | {"num_classes": 4, "epochs": 1} | changes)


REFUSED = [
    ({"channels": 3}, {}, "channels = 3, but the training images have 1"),
    ({}, {"channels": 3}, "channels = 1, but the training images have 3"),
    ({"image_size": 32}, {}, "image_size = 32, but the training images are 28 x 28 pixels"),
    ({}, {"height": 20}, "image_size = 28, but the training images are 20 x 28 pixels"),
    ({"kind": "cond_conv_vae", "num_classes": 2}, {}, "num_classes = 2, but the training labels"),
    ({"kind": "conv_vae", "widths": (2, 2, 2, 2, 2)}, {}, "can be halved 1 to 4 times"),
    ({"kind": "hier_conv_vae", "widths": (2,)}, {}, "give at least 2"),
    ({"kind": "conv_ae", "widths": ()}, {}, "is 0 stages"),
    ({}, {"images": 0}, "the training split has no images"),
]


@pytest.mark.parametrize(("changes", "shape", "reason"), REFUSED)
def test_what_does_not_fit_is_named_and_would_have_failed(
    changes: dict[str, object], shape: dict[str, int], reason: str, tmp_path: Path
) -> None:
    settings, given = config(**changes), data(**shape)  # type: ignore[arg-type]
    found = misfit(settings, given)
    assert found is not None
    assert reason in found
    assert "\n" not in found
    record = Session(settings, given, tmp_path, open_test=False).next_record()
    assert record.outcome == "failed"


@pytest.mark.parametrize("kind", list(BUILT_IN))
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (16, 1), (32, 3), (20, 3)])
def test_what_fits_is_trained(kind: str, size: int, channels: int, tmp_path: Path) -> None:
    settings = config(kind, image_size=size, channels=channels, batch_size=100)
    given = data(images=6, height=size, width=size, channels=channels)
    assert misfit(settings, given) is None
    record = Session(settings, given, tmp_path, open_test=False).next_record()
    assert record.outcome == "finished", record.reason


def test_each_split_is_looked_at() -> None:
    empty = split(images=0)
    assert "the validation split has no images" in str(misfit(config(), data(val=empty)))
    more = split(classes=5)
    given = TrialData(split(), split(), more)
    assert "the test labels are 0 to 4" in str(misfit(config("cond_conv_vae"), given))
    assert misfit(config("conv_vae"), given) is None  # is not told them


@pytest.mark.parametrize(
    ("metric", "changes", "shape", "reason"),
    [
        ("val/probe", {"evaluations": ("probe",)}, {"classes": 1}, "a probe takes 2 classes"),
        ("val/probe", {}, {}, "it is measured only where evaluations name 'probe'"),
        ("val/active_units", {}, {"images": 1}, "has 1 image, and it takes 2"),
        ("val/frechet", {"evaluations": ("frechet",)}, {"images": 9}, "needs at least 10 images"),
    ],
)
def test_a_figure_that_decides_must_be_one_that_can_be_computed(
    metric: str, changes: dict[str, object], shape: dict[str, int], reason: str
) -> None:
    settings, given = config(**changes), data(**shape)  # type: ignore[arg-type]
    assert misfit(settings, given) is None
    found = misfit(settings, given, ["val/mse", metric])
    assert found is not None
    assert found.startswith(f"{metric} decides, but ")
    assert reason in found


def test_no_weight_is_made_to_find_out() -> None:
    assert misfit(config(hidden=(2_000_000, 2_000_000)), data()) is None
