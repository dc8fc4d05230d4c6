"""R3's table: the right counterpart, one unit, and the printed row converted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from analysis.gallery import comparison
from analysis.gallery.subject import Subject
from analysis.tracker.client import Record
from studies.tracker import names
from studies.tracker.delivery import _texts
from studies.vae_vs_ae import REFERENCE
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import Evaluator

Make = Callable[..., Subject]


def record(run_id: str, seed: int = 0, status: str = "finished", **changes: Any) -> Record:
    config = REFERENCE.model_copy(update={"kind": "mlp_ae", "seed": seed, **changes})
    tags = {names.STATUS: status, names.SEED: str(seed)}
    params = _texts(config.model_dump(mode="json"))
    return Record(run_id, "FINISHED", None, None, params=params, tags=tags)


def among(make_subject: Make, *siblings: Record) -> Subject:
    subject = make_subject(REFERENCE, tags={names.SEED: "1"})
    subject.record.params.update(_texts(REFERENCE.model_dump(mode="json")))
    return replace(subject, siblings=siblings)


def test_the_counterpart_has_the_same_settings_and_if_possible_the_same_seed(
    make_subject: Make,
) -> None:
    others = (
        record("vae", kind="mlp_vae"),
        record("wide", latent_dim=40),
        record("longer", epochs=30),
        record("failed", seed=1, status="failed"),
        record("seed 0"),
        record("seed 1", seed=1, beta=3.0),  # β means nothing to an autoencoder
    )
    found = comparison.counterpart(among(make_subject, *others))
    assert found is not None
    assert found.run_id == "seed 1"
    found = comparison.counterpart(among(make_subject, *others[:-1]))
    assert found is not None
    assert found.run_id == "seed 0"


def test_without_a_counterpart_the_part_says_so(make_subject: Make) -> None:
    assert "no finished mlp_ae" in comparison.unfit(among(make_subject, record("x", epochs=1)))
    hierarchical = make_subject(REFERENCE.model_copy(update={"kind": "hier_conv_vae"}))
    assert "no counterpart" in comparison.unfit(hierarchical)


@pytest.mark.parametrize("kind", ["mlp_vae", "mlp_ae"])
def test_scores_are_those_of_the_trials_own_evaluation(make_subject: Make, kind: str) -> None:
    config = REFERENCE.model_copy(update={"kind": kind})
    subject = make_subject(config)
    found = comparison.measure(subject.trained, subject)
    data = TrialData(subject.train, subject.test, subject.test)
    expected = Evaluator(data, torch.device("cpu")).validate(subject.trained.model, config)
    assert found.recon == pytest.approx(expected["val/recon"], rel=1e-6)
    assert found.kl == pytest.approx(expected["val/kl"], rel=1e-6)
    assert found.loss == pytest.approx(expected["val/neg_elbo"], rel=1e-6)
    assert found.mse == pytest.approx(expected["val/mse"], rel=1e-6)


def test_the_printed_table_stands_beside_ours_in_both_units(make_subject: Make) -> None:
    subject = make_subject(REFERENCE)
    other = make_subject(REFERENCE.model_copy(update={"kind": "mlp_ae"})).trained
    table = comparison.table(subject, other)
    frame = table.frame
    assert frame["model"].tolist() == ["VAE", "autoencoder"] * 2
    for _, row in frame.iterrows():
        assert row["loss"] == pytest.approx(784 * row["per_pixel"])
    printed = frame[frame["source"] == "printed"]
    assert printed["loss"].tolist() == pytest.approx([129.9, 69.8544])
    assert "cannot be reproduced" in table.note


def test_other_networks_get_no_printed_rows(make_subject: Make) -> None:
    config = REFERENCE.model_copy(update={"latent_dim": 5})
    other = make_subject(config.model_copy(update={"kind": "mlp_ae"})).trained
    table = comparison.table(make_subject(config), other)
    assert "printed" not in table.frame["source"].tolist()
    assert "printed" not in table.note
