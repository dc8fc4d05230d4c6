"""Whether fresh seeds lie where the printed ones say: known answers of the prediction interval."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from studies.errors import InputError
from studies.retraining import claims as claims_module
from studies.retraining.claims import Again, Claim, affordable, claims, try_again
from tests.analysis import trained_study
from tests.analysis.trained_study import TINY, Planned, TrainedStudy, seeded

PRINTED = {1_000_000: 18.41, 1_000_001: 18.47, 1_000_002: 18.44, 1_000_003: 18.52, 1_000_004: 18.45}


def again(*fresh: float) -> Again:
    return Again("trial 0007", "test/psnr", PRINTED, dict(enumerate(fresh)))


def test_the_range_is_students_for_the_mean_of_so_many_new_draws() -> None:
    values = np.array(list(PRINTED.values()))
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(1 / 2 + 1 / 5)
    expected = again(18.40, 18.50).expected
    assert expected.low == pytest.approx(values.mean() - half)
    assert expected.high == pytest.approx(values.mean() + half)
    assert expected.mean == pytest.approx(18.45)


@pytest.mark.parametrize(
    ("fresh", "holds"), [((18.46,), True), ((18.70,), False), ((18.2,), False)]
)
def test_what_lies_outside_is_said(fresh: tuple[float, ...], holds: bool) -> None:
    tried = again(*fresh)
    assert tried.holds == holds
    assert ("inside of" in tried.sentence()) == holds
    assert "printed test PSNR 18.46 dB (18.41 to 18.51), 5 seeds" in tried.sentence()


def share_of_studies_that_hold(configurations: int, *, alike: bool) -> float:
    """Of 2,000 in which nothing has changed; alike: a seed moves all configurations together."""
    draws = np.random.default_rng(0).normal(18, 0.05, (2_000, configurations, 5))
    if alike:
        draws[:] = draws[:, :1]
    hold = [
        all(
            Again(
                "x", "test/psnr", dict(enumerate(row[:3])), dict(enumerate(row[3:])), len(rows)
            ).holds
            for row in rows
        )
        for rows in draws
    ]
    return float(np.mean(hold))


def test_a_study_in_which_nothing_has_changed_holds_in_95_of_100_cases() -> None:
    assert share_of_studies_that_hold(1, alike=False) == pytest.approx(0.95, abs=0.015)
    assert share_of_studies_that_hold(2, alike=False) == pytest.approx(0.95, abs=0.015)
    assert share_of_studies_that_hold(2, alike=True) == pytest.approx(0.975, abs=0.015)


def claim(seconds: float) -> Claim:
    return Claim("trial 0007", "test/psnr", PRINTED, "id", seconds)


@pytest.mark.parametrize(
    ("cores", "seconds", "wanted", "fitting"),
    [
        (2, (100.0, 200.0), 3, 3),  # side by side: as long as the longer one
        (2, (100.0, 200.0), 5, 4),
        (1, (100.0, 200.0), 5, 3),
        (1, (math.nan, 200.0), 5, 4),
    ],
)
def test_as_many_seeds_are_trained_as_time_allows(
    cores: int,
    seconds: tuple[float, ...],
    wanted: int,
    fitting: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims_module, "usable_cores", lambda: cores)
    assert affordable([claim(each) for each in seconds], wanted, 900) == fitting


def test_a_time_in_which_nothing_can_be_tried_is_refused() -> None:
    with pytest.raises(InputError, match=r"one seed takes about 20 minutes.*--minutes 24"):
        affordable([claim(1200.0)], 2, 900)


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    """Two configurations on two seeds each."""
    first = TINY.model_copy(update={"epochs": 1, "lr": 1e-4})
    second = first.model_copy(update={"lr": 3e-3})
    planned = [Planned("0000", first, reference=True), Planned("0001", second)]
    for number, (config, like) in enumerate([(first, "0000"), (second, "0001")] * 2):
        config = seeded(config, 1_000_000 + number // 2)
        planned.append(Planned(f"confirm-{number:04d}", config, like, like == "0000"))
    settings = {"trials": 2, "epochs": 1, "confirm_top": 1, "confirm_seeds": 2}
    return trained_study.write(tmp_path_factory.mktemp("confirmed"), "small", planned, **settings)


def test_winner_and_reference_are_trained_on_seeds_that_nobody_has_printed(
    confirmed: TrainedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims_module, "usable_cores", lambda: 1)
    printed = claims(confirmed.name, confirmed.uri)
    assert len(printed) == 2
    assert all(each.seconds > 0 for each in printed)
    tried = list(try_again(printed, confirmed.uri, 2))
    assert {again.tried for again in tried} == {2}
    for before, again in zip(printed, tried, strict=True):
        assert set(before.printed) == {1_000_000, 1_000_001}
        assert set(again.fresh).isdisjoint(before.printed)
        assert len(set(again.fresh.values())) == 2
        assert again.expected.low < again.expected.high


def test_a_study_that_is_not_confirmed_claims_nothing(tmp_path: Path) -> None:
    single = [Planned("0000", TINY.model_copy(update={"epochs": 1}), reference=True)]
    study = trained_study.write(tmp_path, "single", single)
    with pytest.raises(InputError, match="is not confirmed"):
        claims(study.name, study.uri)
