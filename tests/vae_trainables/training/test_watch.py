"""Plateau and early stopping of a trial watch the metric that its configuration names."""

from __future__ import annotations

import pytest
import torch

from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.training.trial import Trial


@pytest.fixture(scope="module")
def data() -> TrialData:
    images = torch.randint(0, 256, (24, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    split = Split(images.to(torch.uint8), torch.arange(24) % 10)
    return TrialData(split, split, None, None)


def trial(data: TrialData, **fields: object) -> Trial:
    return Trial(TrialConfig.model_validate({"kind": "mlp_vae", "hidden": (8,)} | fields), data)


def last_scale(trial: Trial, metric: str, values: list[float]) -> float:
    """The plateau's scale after epochs in which all else gets better."""
    for trial.epoch, value in enumerate(values, 1):
        better = {"val/mse": -trial.epoch, "val/neg_elbo": -trial.epoch, "val/probe": trial.epoch}
        trial._adapt({name: float(v) for name, v in better.items()} | {metric: value})
    return trial.plateau.scale


WORSE = [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("watch", "direction", "values"),
    [
        ("val/neg_elbo", "minimize", WORSE),
        ("val/mse", "minimize", WORSE),
        ("val/probe", "maximize", WORSE[::-1]),
    ],
)
def test_the_rate_falls_by_the_watched_metric_alone(
    data: TrialData, watch: str, direction: str, values: list[float]
) -> None:
    fields = {"lr_schedule": "plateau", "watch": watch, "watch_direction": direction}
    assert last_scale(trial(data, **fields), watch, values) == 0.5
    other = "val/recon"
    assert last_scale(trial(data, **fields), other, values) == 1.0


def test_early_stopping_watches_the_same(data: TrialData) -> None:
    watching = trial(data, patience=3, watch="val/mse")
    last_scale(watching, "val/neg_elbo", WORSE)
    assert not watching.stopped_early
    last_scale(watching, "val/mse", WORSE)
    assert watching.stopped_early


def test_a_metric_that_does_not_exist_is_one_clear_line(data: TrialData) -> None:
    with pytest.raises(ValueError, match=r"watch = 'val/msee' is no metric; there are .*val/mse"):
        trial(data, patience=3, watch="val/msee").run_epoch()


def test_an_extra_that_could_not_be_computed_is_passed_over(data: TrialData) -> None:
    watching = trial(data, patience=1, watch="val/probe", watch_direction="maximize")
    watching.run_epoch(), watching.run_epoch()
    assert not watching.stopped_early
