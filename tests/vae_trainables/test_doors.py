"""Noise, metrics, β schedules and baselines of a user's own: one function each, and all follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.vae_trainables.cohort.support import config, run_cohort, small_data, solo
from vae_trainables import metrics
from vae_trainables.config import BETA_SCHEDULES, NOISE_KINDS, TrialConfig
from vae_trainables.datasets import noise
from vae_trainables.evaluation import baselines
from vae_trainables.evaluation.evaluator import Evaluator, as_float, evaluation_noise
from vae_trainables.models import build
from vae_trainables.training import schedules
from vae_trainables.training.session import Session

OWN = {
    "noise_kind": "half_black",
    "eval_noise_kind": "half_black",
    "noise_factor": 0.3,
    "beta_schedule": "late",
    "warmup_epochs": 1,
}


@pytest.fixture(autouse=True)
def own_things() -> Iterator[None]:
    @noise.register("half_black", random="uniform")
    def half_black(images: Tensor, factor: noise.Factor, rand: Tensor) -> Tensor:
        return torch.where(rand[:, :1, :1, :1] < factor, 0.0, images) - 1e-3

    @metrics.register(name="worst", unit="grey levels", better="lower")
    def worst(image: Tensor, clean: Tensor) -> Tensor:
        return (image - clean).abs().flatten(1).amax(1)

    @schedules.register("late")
    def late(step: int, steps_per_epoch: int, warmup_epochs: int) -> float:
        return float(step >= warmup_epochs * steps_per_epoch)

    @baselines.register("grey")
    def grey(training: baselines.Training) -> baselines.Denoiser:
        return lambda noisy: torch.full_like(noisy, 0.5)

    yield
    noise.remove("half_black")
    schedules.remove("late")
    metrics.remove("worst")
    baselines.remove("grey")


def test_own_noise_is_what_trials_see_and_are_judged_on() -> None:
    images = torch.rand(64, 1, 8, 8)
    noisy = evaluation_noise(images, "half_black", 0.5)
    black = (noisy == 0).flatten(1).all(1)
    assert 15 < int(black.sum()) < 49
    torch.testing.assert_close(noisy[~black], (images[~black] - 1e-3).clamp(0, 1))
    data, chosen = small_data(), config("mlp_vae", **OWN)
    _, judged = Evaluator(data, torch.device("cpu")).images("val", "half_black", 0.45)
    assert bool((judged == 0).flatten(1).all(1).any())
    assert TrialConfig.model_validate_json(chosen.model_dump_json()) == chosen


def test_an_own_schedule_is_followed_and_awaited() -> None:
    chosen = config("mlp_vae", **OWN, beta=2.0)
    assert [schedules.beta(chosen.objective, step, 5) for step in (0, 4, 5, 9)] == [0, 0, 2, 2]
    assert [schedules.settled(chosen, epoch) for epoch in (1, 2)] == [False, True]


def test_an_own_metric_stands_wherever_mse_does() -> None:
    data, chosen = small_data(), config("mlp_vae", **OWN)
    evaluator = Evaluator(data, torch.device("cpu"))
    model = build(chosen.model)
    clean, noisy = evaluator.images("val", "half_black", 0.45)
    with torch.no_grad():
        expected = (model(noisy).logits.sigmoid() - clean).abs().flatten(1).amax(1).mean()
    figures = evaluator.validate(model, chosen)
    assert figures["val/worst"] == pytest.approx(float(expected), rel=1e-5)
    assert evaluator.test(model, chosen).figures["test/worst"] > 0
    rows = evaluator.robustness(model, chosen)
    assert {row["kind"] for row in rows} == {*evaluation_kinds(), "half_black"}
    assert all(row["worst"] > 0 for row in rows)


def evaluation_kinds() -> set[str]:
    return {kind for kind in NOISE_KINDS if not NOISE_KINDS.is_own(kind)}


def test_an_own_baseline_is_judged_beside_the_others(tmp_path: Path) -> None:
    clean = small_data().train.images[:40]
    noisy = evaluation_noise(as_float(clean), "half_black", 0.45)
    training = baselines.Training(clean, noisy)
    asked = {"names": ["do nothing", "grey"], "components": 2, "folder": tmp_path}
    rows = baselines.evaluate_all(training, noisy, as_float(clean), **asked)
    assert [row["name"] for row in rows] == ["do nothing", "grey"]
    assert all(0 < row["worst"] <= 1 for row in rows)
    assert rows[1]["mse"] == pytest.approx(float((as_float(clean) - 0.5).square().mean()))
    assert not list(tmp_path.iterdir()), "what a user's file computes may change: never cached"


def test_cohorts_have_them_as_trials_alone_do(tmp_path: Path) -> None:
    configs = {slot: config("mlp_vae", **OWN, seed=slot) for slot in range(2)}
    run = run_cohort(configs, tmp_path, slots=2, epochs=2)
    for slot, chosen in configs.items():
        for record, entry in zip(run.records[slot], solo(chosen, epochs=2).history, strict=True):
            for name in ("train/loss", "val/worst", "beta"):
                assert record.metrics[name] == pytest.approx(entry["metrics"][name], rel=1e-5)


def test_a_trial_with_them_resumes_bit_for_bit(tmp_path: Path) -> None:
    chosen, data = config("mlp_vae", **OWN), small_data()
    whole = Session(chosen, data, tmp_path / "whole", open_test=False)
    records = [whole.next_record() for _ in range(2)]
    Session(chosen, data, tmp_path / "cut", open_test=False).next_record()
    resumed = Session(chosen, data, tmp_path / "cut", open_test=False)
    resumed.next_record()  # what it had said already
    assert resumed.next_record().metrics["val/worst"] == records[1].metrics["val/worst"]


def measured(name: str) -> None:
    metrics.register(name=name, unit="", better="lower")(lambda image, clean: image)


@pytest.mark.parametrize(
    ("door", "message"),
    [
        (lambda: noise.register("poisson")(lambda i, f, r: i), "noise kind 'poisson' already"),
        (lambda: noise.register("my noise")(lambda i, f, r: i), "like a variable"),
        (lambda: schedules.register("linear")(lambda s, p, w: 0.0), "schedule 'linear' already"),
        (lambda: schedules.register("wild")(lambda s, p, w: 2.0), "leaves .0, 1. at step 0"),
        (lambda: measured("psnr"), "metric 'psnr' already"),
        (lambda: measured("a b"), "like a variable"),
        (lambda: baselines.register("wiener")(lambda t: lambda n: n), "'wiener' already"),
    ],
)  # fmt: skip
def test_names_that_are_taken_or_none_are_refused(door: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        door()  # type: ignore[operator]
    assert "wild" not in BETA_SCHEDULES


@pytest.mark.parametrize("name", ["noise_kind", "eval_noise_kind", "beta_schedule"])
def test_a_name_that_nothing_has_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ValidationError, match=r"there is no .* 'fog'; there are .*own file"):
        TrialConfig(**{name: "fog"})
