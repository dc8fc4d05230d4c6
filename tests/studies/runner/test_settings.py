"""Flags, presets and what fills the gaps."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from studies.errors import InputError
from studies.runner.run import ways_of
from studies.runner.settings import PRESETS, Settings, with_preset


@pytest.fixture(autouse=True)
def no_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def given(**flags: Any) -> Settings:
    return with_preset({f.name: f.default for f in fields(Settings)} | flags)


def test_a_preset_fills_only_what_was_not_given() -> None:
    settings = given(preset="quick", epochs=2)
    assert (settings.trials, settings.epochs) == (PRESETS["quick"]["trials"], 2)


def test_the_reference_keeps_its_own_epochs() -> None:
    assert given().epochs == 10
    assert given(reference=True).epochs is None


def test_confirming_alone_confirms_the_best_three() -> None:
    assert given(confirm_only=True).confirm_top == 3
    assert given(confirm_only=True, confirm_top=1).confirm_top == 1
    assert not given().confirm_top
    assert given(preset="full").confirm_top == 3
    assert given(preset="full", confirm_top=0).confirm_top == 0


def test_the_environments_tracker_is_heard_and_a_flag_is_stronger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert given().tracking_uri is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert given().tracking_uri == "http://host:5000"
    assert given(tracking_uri="sqlite:///x.db").tracking_uri == "sqlite:///x.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert given().tracking_uri is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"trials": 0}, "--trials is 0; it must be at least 1"),
        ({"confirm_seeds": 1}, "--confirm-seeds is 1"),
        ({"eta": 1.0}, "--eta is 1.0"),
        ({"slots_per_gpu": "many"}, "--slots-per-gpu is 'many'; give auto or a number"),
        ({"slots_per_gpu": "0"}, "--slots-per-gpu is '0'"),
        ({"study": " "}, "--study is empty"),
        ({"study": "a\nb"}, "readable text in one line"),
        ({"study": "\udcff"}, "readable text in one line"),
        ({"study": "x" * 251}, "--study has 251 characters"),
        ({"study": "Default"}, "MLflow keeps for itself"),
        ({"tracking_uri": "file:./mlruns"}, "mlflow migrate-filestore"),
        ({"reference": True, "confirm_only": True}, "exclude each other"),
        ({"tracking_uri": "ftp://x"}, "--tracking-uri has the scheme 'ftp'"),
        ({"tracking_uri": "http://[::1"}, "--tracking-uri is no address"),
        ({"tracking_uri": "sqlite://x.db"}, "three slashes"),
        ({"eta": float("nan")}, "--eta is nan"),
        ({"time_budget": float("nan")}, "--time-budget is nan"),
        ({"seed": 2**31 - 1, "seeds": 2}, "seeds must stay below"),
        ({"slots_per_gpu": "²"}, "--slots-per-gpu is '²'"),
    ],
)
def test_a_value_that_cannot_work_is_named(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        given(**flags).check()


def test_slots_are_a_number_or_measured() -> None:
    assert given().slots is None
    assert given(slots_per_gpu="4").slots == 4


@pytest.mark.parametrize("cohort", ["auto", "eager", "off"])
@pytest.mark.parametrize("convolution", ["grouped", "im2col"])
def test_the_way_of_cohorts_can_be_set_by_hand(cohort: Any, convolution: Any) -> None:
    ways = ways_of(given(cohort=cohort, convolution=convolution))
    assert ways.convolution == convolution
    assert (ways.capture, ways.kernels) == ((None, None) if cohort == "auto" else (False, False))
