"""A tracked trial trained again: bit for bit here, within a tolerance elsewhere, or not at all."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studies import reproduce
from studies.errors import InputError
from studies.reproduce import Comparison, Original, compare, differences, verdict
from studies.runner import provenance
from tests.analysis import trained_study
from tests.analysis.trained_study import TINY, Planned, TrainedStudy


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    planned = [Planned("0000", TINY), Planned("confirm-0000", TINY, like="0000")]
    return trained_study.write(tmp_path_factory.mktemp("reproduce"), "digits", planned)


def original(**changes: Any) -> Original:
    facts = {
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "code": provenance.code_hash(),
        "data": {},
    }
    metrics = {"val/mse": {1: 0.5, 2: 0.25}}
    return replace(Original("r", TINY, metrics, False, facts, {}), **changes)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["0000", "confirm-0000"])
def test_a_trial_is_reproduced_bit_for_bit_from_the_tracker_alone(
    study: TrainedStudy, key: str
) -> None:
    found = reproduce.read(study.run_ids[key], study.uri)
    assert found.opened_test == (key != "0000")
    data = reproduce.load_data(found, None)
    rows = compare(found, reproduce.train_again(found, data))
    assert {row.name for row in rows} >= {"val/mse", "train/loss"}
    assert any(row.name == "test/mse" for row in rows) == found.opened_test
    assert all(row.equal for row in rows)
    assert verdict(rows, differences(found))[0]


def test_under_the_same_conditions_only_equal_bits_are_good() -> None:
    assert differences(original()) == []
    rows = compare(original(), {1: {"val/mse": 0.5}, 2: {"val/mse": math.nextafter(0.25, 1)}})
    assert verdict(rows, []) == (
        False,
        "same machine kind, versions, code, threads: 1 of 2 points bit-equal",
    )


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"versions": provenance.versions() | {"torch": "1.0"}}, "torch 1.0 →"),
        ({"machine": {"cpu": "abacus"}}, "another CPU"),
        ({"code": "0"}, "other code of vae_trainables"),
    ],
)
def test_other_conditions_are_named_and_ask_for_less(facts: dict[str, Any], told: str) -> None:
    (found,) = differences(original(provenance=original().provenance | facts))
    assert found.startswith(told)
    rows = [Comparison("val/mse", 1, 0.5, 0.505), Comparison("val/mse", 2, 0.5, 0.5)]
    good, text = verdict(rows, [found])
    assert good
    assert "2 of 2 points within 2%, 1 of them bit-equal" in text
    assert not verdict([Comparison("val/mse", 1, 0.5, 0.52)], [found])[0]


def test_another_device_is_another_condition() -> None:
    assert differences(original(device="cuda")) == ["trained on cuda, again on cpu"]


def test_a_point_that_is_missing_now_is_not_reproduced() -> None:
    assert not verdict(compare(original(), {1: {"val/mse": 0.5}}), ["x"])[0]


def test_a_run_that_is_no_trial_is_bad_input(study: TrainedStudy) -> None:
    with pytest.raises(InputError, match="run 0123"):
        reproduce.read("0123", study.uri)


def test_other_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the val images of digits are not those of the trial"):
        reproduce.load_data(original(provenance={"data": {"val": "0"}}), None)
