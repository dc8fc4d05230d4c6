"""Stacked validation against the evaluator, member by member."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vae_trainables.cohort.support import config, run_cohort, small_data, varied
from vae_trainables.cohort import Ways, probing, validation
from vae_trainables.cohort.probing import StackedProbe
from vae_trainables.evaluation import stacked_probe
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.evaluation.helpers import with_helpers


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("mlp_vae", {}),
        ("mlp_ae", {"likelihood": "continuous_bernoulli"}),
        ("conv_vae", {"likelihood": "gaussian"}),
        ("conv_ae", {"eval_noise_kind": "masking", "eval_noise_factor": 0.2}),
        ("mlp_vae", {"likelihood": "sigma"}),
        ("mlp_vae", {"eval_noise_factor": 0.0}),
    ],
)
def test_members_get_the_evaluators_figures(
    kind: str, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "BATCH", 33)  # 80 images: the last batch is a rest
    configs = dict(enumerate(varied(kind, 3, **settings)))
    configs[2] = configs[2].model_copy(update={"latent_dim": 5})
    del configs[1]  # an empty slot between them
    run = run_cohort(configs, tmp_path, slots=3, epochs=1)
    for slot, member in run.members.items():
        expected = member.evaluator.validate(member.model, member.config)
        found = {k: v for k, v in run.records[slot][0].metrics.items() if k.startswith("val/")}
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_extras_are_added_member_by_member(tmp_path: Path) -> None:
    chosen = config(evaluations=("probe",), noise_factor=0.2, epochs=1)
    run = run_cohort({0: chosen}, tmp_path, slots=1, epochs=1)
    member = run.members[0]
    expected = member.evaluator.validate(member.model, chosen)["val/probe"]
    assert run.records[0][0].metrics["val/probe"] == expected


PROBED: dict[str, Any] = {"evaluations": ("probe",), "noise_factor": 0.2}
AT_ONCE = Ways(probe=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae", "cond_conv_vae", "hier_conv_vae"])
def test_the_probe_of_all_members_at_once_is_each_members_own(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "BATCH", 33)  # 256 and 80 images: the last batches are rests
    configs = dict(enumerate(varied(kind, 2, epochs=1, **PROBED)))
    if kind == "mlp_vae":
        configs[1] = configs[1].model_copy(update={"latent_dim": 5})
    data = with_helpers(small_data(), list(configs.values()))
    run = run_cohort(configs, tmp_path, slots=3, epochs=1, ways=AT_ONCE, data=data)
    monkeypatch.delattr(stacked_probe, "accuracies")
    for slot, member in run.members.items():
        own = member.evaluator.validate(member.model, member.config)["val/probe"]
        assert run.records[slot][0].metrics["val/probe"] == pytest.approx(own, abs=1 / 80 + 1e-9)
        assert 0.05 < own < 1


def test_members_do_not_fit_again_what_was_fitted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Evaluator, "_probe")
    run = run_cohort({1: config(**PROBED)}, tmp_path, slots=2, epochs=1, ways=AT_ONCE)
    (record,) = run.records[1]
    assert (record.outcome, "val/probe" in record.metrics) == ("running", True)
    assert run.cohort.notes == []


@pytest.mark.slow
def test_where_the_stacked_probe_fails_members_fit_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*codes: Any) -> Any:
        raise RuntimeError("cusolver error")

    monkeypatch.setattr(stacked_probe, "accuracies", broken)
    run = run_cohort({0: config(**PROBED)}, tmp_path, slots=2, epochs=2, ways=AT_ONCE)
    member = run.members[0]
    own = member.evaluator.validate(member.model, member.config)["val/probe"]
    assert run.records[0][1].metrics["val/probe"] == own
    assert run.cohort.notes == [
        "the stacked probe failed (RuntimeError: cusolver error): one by one, slower"
    ]


def test_a_cohort_that_is_not_asked_for_a_probe_has_none(tmp_path: Path) -> None:
    run = run_cohort({0: config()}, tmp_path, slots=2, epochs=1, ways=AT_ONCE)
    probe = run.cohort._validation.probe
    assert isinstance(probe, StackedProbe)
    assert probe([0]) == {}
    assert "val/probe" not in run.records[0][0].metrics
