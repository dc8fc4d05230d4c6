"""One quantity, one number: training, validation, test, cohort, published model, gallery, report.

Over every kind of model and every likelihood, on images that are validation and test at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from analysis.gallery import comparison, generation, scores
from analysis.gallery.subject import Subject
from analysis.models.trained import TrainedModel
from analysis.tracker.client import Record
from tests.vae_trainables.cohort.support import config, run_cohort, small_data
from vae_trainables.config import (
    BETA_SCHEDULES,
    NOISE_KINDS,
    BetaSchedule,
    ClassSource,
    LikelihoodKind,
    NoiseKind,
    TrialConfig,
)
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.evaluation.features import FeatureNet
from vae_trainables.inference import Denoiser
from vae_trainables.kinds import KINDS as BUILT_IN
from vae_trainables.models import build
from vae_trainables.objective import losses
from vae_trainables.training.trial import Trial

CPU = torch.device("cpu")
KINDS, LIKELIHOODS = tuple(BUILT_IN), get_args(LikelihoodKind)
CASES = [(kind, each, "given") for kind in KINDS for each in LIKELIHOODS]
CASES += [(kind, "bernoulli", "predicted") for kind in KINDS if kind.startswith("cond_")]
ROUNDING = {"rel": 2e-5, "abs": 1e-6}  # float32 sums in another order
SHARED = ("recon", "kl", "neg_elbo", "mse", "psnr", "ssim", "active_units")


@cache
def data() -> TrialData:
    """The test split is the validation split; the classifier is as good as chance."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = FeatureNet().state_dict()
    given = small_data()
    return replace(given, test=given.val, classifier=state)


def settings(kind: str, likelihood: str, source: str = "given", **changes: Any) -> TrialConfig:
    small = {"hidden": (24,), "widths": (4, 8), "latent_dim": 6, "blocks": 1, "noise_factor": 0.3}
    told = {"kind": kind, "likelihood": likelihood, "class_source": source}
    return config(**(small | told | changes))


@dataclass(frozen=True)
class Case:
    """A trial after an epoch, and all the ways to its figures."""

    trial: Trial
    evaluator: Evaluator
    subject: Subject
    denoiser: Denoiser

    @property
    def test(self) -> dict[str, float]:
        """`test/...`, without the prefix."""
        found = self.evaluator.test(self.trial.model, self.trial.config).figures
        return {name.removeprefix("test/"): value for name, value in found.items()}


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    chosen = settings(*request.param)
    trial = Trial(chosen, data())
    trial.run_epoch()
    trial.save_weights(tmp_path / "weights.safetensors")
    denoiser = Denoiser.load(tmp_path / "weights.safetensors")
    record = Record("0" * 32, "FINISHED", None, None)
    subject = Subject(
        record,
        (),
        {},
        TrainedModel("0", denoiser),
        None,  # type: ignore[arg-type]
        None,
        test=data().val,
    )
    return Case(trial, trial.evaluator, subject, denoiser)


def test_every_way_to_a_figure_gives_the_same(case: Case) -> None:
    trial, test = case.trial, case.test
    validation = case.evaluator.validate(trial.model, trial.config)
    for name in SHARED:
        assert validation[f"val/{name}"] == pytest.approx(test[name], rel=1e-9), name
    _training_terms_are_the_evaluations(case, test)
    _the_published_model_denoises_as_tested(case, test)
    _the_gallery_shows_what_was_tested(case, test)
    _the_report_denoises_as_evaluated(case)
    _the_reports_elbo_is_the_tests(case, test)
    if trial.config.model.variational:
        assert test["iw_gain"] >= 0
        assert test["iw_nll"] < test["neg_elbo"]  # here of the same images


def _training_terms_are_the_evaluations(case: Case, test: dict[str, float]) -> None:
    """With the evaluation's noise and draw, all images as one batch."""
    trial, chosen = case.trial, case.trial.config
    clean, noisy = case.evaluator.images(
        "val", chosen.evaluation.noise_kind, chosen.evaluation.noise_factor
    )
    eps = case.evaluator.latents(len(clean), trial.noise_dim) if chosen.model.variational else None
    told = case.subject.told
    with torch.no_grad():
        output = trial.model.eval()(noisy, eps, told)
        terms = losses.objective(output, clean, data().val.labels, chosen, beta=1.0)
    assert float(terms.values["recon"]) == pytest.approx(test["recon"], **ROUNDING)
    assert float(terms.values["kl"]) == pytest.approx(test["kl"], **ROUNDING)
    assert float(terms.values["recon"] + terms.values["kl"]) == pytest.approx(
        test["neg_elbo"], **ROUNDING
    )
    if chosen.model.variational:
        assert float(terms.loss) == pytest.approx(test["neg_elbo"], **ROUNDING)


def _the_published_model_denoises_as_tested(case: Case, test: dict[str, float]) -> None:
    chosen, labels = case.trial.config, data().val.labels.numpy()
    clean, noisy = case.evaluator.images(
        "test", chosen.evaluation.noise_kind, chosen.evaluation.noise_factor
    )

    def mse(given: Any) -> float:
        made = torch.from_numpy(case.denoiser.denoise(noisy.numpy(), given))
        return float((made - clean).square().mean())

    if not chosen.model.conditional:
        assert mse(None) == pytest.approx(test["mse"], **ROUNDING)
        return
    given, predicted = mse(labels), mse(None)
    assert given != predicted
    if chosen.evaluation.class_source == "given":
        assert given == pytest.approx(test["mse"], **ROUNDING)
        assert predicted == pytest.approx(test["predicted_mse"], **ROUNDING)
    else:
        assert predicted == pytest.approx(test["mse"], **ROUNDING)


def _the_gallery_shows_what_was_tested(case: Case, test: dict[str, float]) -> None:
    restored = scores.measure(case.subject).restored
    for name in ("mse", "psnr", "ssim"):
        assert getattr(restored, name) == pytest.approx(test[name], **ROUNDING)
    dimensions = generation.dimensions(case.subject)
    assert sum(each.kl for each in dimensions) == pytest.approx(test["kl"], **ROUNDING)
    assert sum(each.active for each in dimensions) == test["active_units"]
    if case.trial.config.model.kind in comparison.COUNTERPARTS:
        table = comparison.measure(case.subject.trained, case.subject)
        assert table.recon == pytest.approx(test["recon"], **ROUNDING)
        assert table.kl == pytest.approx(test["kl"], **ROUNDING)
        assert table.mse == pytest.approx(test["mse"], **ROUNDING)


def _the_reports_elbo_is_the_tests(case: Case, test: dict[str, float]) -> None:
    """But for the noise's rounding to grey levels, in which examples are kept."""
    val, chosen = data().val, case.trial.config
    _, noisy = case.evaluator.images(
        "test", chosen.evaluation.noise_kind, chosen.evaluation.noise_factor
    )
    grey = (noisy * 255).round().to(torch.uint8).numpy()
    values = case.subject.trained.neg_elbo(val.images.numpy(), grey, val.labels.numpy())
    assert values.astype(float).mean() == pytest.approx(test["neg_elbo"], rel=2e-3, abs=0.5)


def _the_report_denoises_as_evaluated(case: Case) -> None:
    """From grey levels, as a report's examples are."""
    val, chosen = data().val, case.trial.config
    made = case.subject.trained.denoise(val.images.numpy(), val.labels.numpy())
    given = (
        val.labels.numpy()
        if chosen.model.conditional and chosen.evaluation.class_source == "given"
        else None
    )
    np.testing.assert_array_equal(made, case.denoiser.denoise(val.images.numpy(), given))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_cohorts_validation_is_the_evaluators(
    kind: str, likelihood: LikelihoodKind, tmp_path: Path
) -> None:
    run = run_cohort({0: settings(kind, likelihood)}, tmp_path, slots=1, epochs=1, data=data())
    member, (record,) = run.members[0], run.records[0]
    expected = member.evaluator.validate(member.model, member.config)
    found = {name: value for name, value in record.metrics.items() if name.startswith("val/")}
    assert found == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("noise", tuple(NOISE_KINDS))
@pytest.mark.parametrize("schedule", tuple(BETA_SCHEDULES))
def test_the_logged_loss_is_its_logged_terms_under_the_logged_weight(
    schedule: BetaSchedule, noise: NoiseKind
) -> None:
    """One step per epoch: the mean over the epoch is the step."""
    chosen = settings(
        "mlp_vae", "bernoulli", beta=2.0, beta_schedule=schedule, warmup_epochs=4, noise_kind=noise,
        noise_factor_max=0.5, supcon_gamma=3.0, batch_size=256, epochs=3,
    )  # fmt: skip
    trial = Trial(chosen, data())
    for _ in range(3):
        found = trial.run_epoch()
        weighted = found["train/recon"] + found["beta"] * found["train/kl"]
        weighted += chosen.objective.supcon_gamma * found["train/supcon"]
        assert found["train/loss"] == pytest.approx(weighted, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_knows_what_its_model_is(kind: str) -> None:
    chosen = settings(kind, "bernoulli")
    assert chosen.model.conditional == build(chosen.model).conditional


def test_class_sources_have_their_words() -> None:
    from analysis.tracker.runs import CLASS_SOURCES

    assert set(CLASS_SOURCES) == set(get_args(ClassSource))
