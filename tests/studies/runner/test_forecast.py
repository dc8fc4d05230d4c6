"""What is told before the start, against what the rules do and against the clock."""

from __future__ import annotations

import random
import time

import pytest

from studies.denoise_sweep import STUDY
from studies.runner import forecast
from studies.runner.planning import make_plan
from studies.runner.settings import Settings
from studies.scheduling.pruning import EndingRule, Hyperband, Reading, SuccessiveHalving
from tests.vae_trainables.cohort.support import small_data
from vae_trainables.config import TrialConfig
from vae_trainables.training.trial import DivergedError


def trained(rule: EndingRule, trials: int, epochs: int) -> tuple[float, float]:
    """Epochs per trial and share that finishes where values are random, all trials in step."""
    draws = random.Random(0)
    left, total = [f"{i:04d}" for i in range(trials)], 0
    for epoch in range(1, epochs + 1):
        total += len(left)
        ends = epoch == epochs
        left = [
            key for key in left if ends or not rule.should_stop(key, epoch, Reading(draws.random()))
        ]
    return total / trials, len(left) / trials


@pytest.mark.parametrize("kind", [SuccessiveHalving, Hyperband])
@pytest.mark.parametrize(("grace", "eta", "epochs"), [(1, 4, 20), (2, 3, 20), (1, 3, 9)])
def test_the_expected_epochs_are_what_a_rule_lets_trials_have(
    kind: type[SuccessiveHalving | Hyperband], grace: int, eta: float, epochs: int
) -> None:
    rule = kind(grace=grace, eta=eta, max_epochs=epochs, direction="minimize")
    mean, share = forecast.expected_epochs(rule, epochs)
    got = trained(rule, 4000, epochs)  # a rule that does not wait lets the first ones pass
    assert got[0] == pytest.approx(mean, rel=0.1)
    assert got[1] == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("flags", "trials", "search_s", "other_s"),
    [
        ({"trials": 8, "scheduler": "none"}, 8, 8 * 10 * 2 / 4, 0),
        ({"trials": 8, "seeds": 3, "scheduler": "none"}, 8, 3 * 8 * 10 * 2 / 4, 0),
        # rungs at 1 and 4 of 10 epochs: 1 + 3 / 4 + 6 / 16
        ({"trials": 8}, 8, 8 * 2.125 * 2 / 4, 0),
        ({"budget": "1h", "scheduler": "none"}, 3600 * 4 / 20, 3600, 0),
        ({"budget": "1h", "trials": 7, "scheduler": "none"}, 7, 7 * 10 * 2 / 4, 0),
        ({"budget": "400epochs", "scheduler": "none"}, 40, 400 * 2 / 4, 0),
        ({"trials": 1, "scheduler": "none", "confirm_top": 3}, 1, 5, 4 * 5 * 10 * 2 / 4),
        ({"trials": 8, "seeds": 3}, 8, 8 * (2.125 + 2 * 10 / 16) * 2 / 4, 0),
        ({"reference": True, "seeds": 2}, 0, 0, 2 * 2 * 10 * 2 / 4),  # and its companion
    ],
)
def test_the_sums_behind_a_forecast(
    flags: dict[str, object], trials: float, search_s: float, other_s: float
) -> None:
    plan = make_plan(STUDY, Settings(epochs=10, **flags))  # type: ignore[arg-type]
    made = forecast.made(plan, epoch_s=2.0, workers=4)
    assert made.trials == pytest.approx(trials)
    assert (made.search_s, made.other_s) == pytest.approx((search_s, other_s))


def test_the_calibration_measures_an_epoch_and_keeps_its_time() -> None:
    config = TrialConfig(kind="mlp_vae", hidden=(16,), latent_dim=2, batch_size=8, epochs=3)
    began = time.perf_counter()
    seconds = forecast.epoch_seconds(config, small_data(), limit_s=5.0)
    assert 0 < seconds < time.perf_counter() - began


def test_a_reference_that_cannot_train_has_no_forecast_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def diverge(*_: object, **__: object) -> float:
        raise DivergedError("loss is nan")

    monkeypatch.setattr(forecast, "epoch_seconds", diverge)
    plan = make_plan(STUDY, Settings(epochs=10, trials=2))
    said = forecast.words(plan, small_data(), 2)
    assert said == "forecast: none, the reference did not train (DivergedError: loss is nan)"
