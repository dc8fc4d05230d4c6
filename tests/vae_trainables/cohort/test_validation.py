"""Stacked validation against the evaluator, member by member."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vae_trainables.cohort.support import config, run_cohort, varied
from vae_trainables.cohort import validation


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
