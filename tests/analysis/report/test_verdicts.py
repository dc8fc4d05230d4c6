"""The sentences: what they claim must follow from the figures, and no more."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from analysis.report.verdicts import verdict
from analysis.statistics.confirmation import Confirmation, confirm

STEADY = [18.00, 18.02, 17.98, 18.01, 17.99, 18.00]
JITTER = [0.01, -0.01, 0.02, 0.0, -0.02, 0.01]


def _confirmed(gains: dict[str, list[float]], seeds: int = 5, **changed: Any) -> Confirmation:
    """Configurations whose scores are the reference's plus the given gain for each seed."""
    scores = {"reference": STEADY} | {
        name: [base + gain for base, gain in zip(STEADY, per_seed, strict=True)]
        for name, per_seed in gains.items()
    }
    frame = pd.DataFrame(
        [
            {"configuration": name, "seed": seed, "value": values[seed]}
            for name, values in scores.items()
            for seed in range(seeds)
        ]
    )
    search = {name: 18.5 - 0.1 * place for place, name in enumerate(gains)}
    asked: dict[str, Any] = {
        "metric": "test/psnr",
        "direction": "maximize",
        "reference": "reference",
        "search_scores": search,
    }
    return confirm(frame, **(asked | changed))


def _gain(size: float) -> list[float]:
    return [size + jitter for jitter in JITTER]


def _text(confirmation: Confirmation, **names: str) -> str:
    return "\n".join(verdict(confirmation, names=names))


def test_a_clear_winner_is_said_to_beat_the_reference_with_all_figures() -> None:
    text = _text(_confirmed({"a": _gain(0.3)}), a="The winner")
    lines = text.splitlines()
    assert lines[0] == (
        "The winner reached a test PSNR of 18.30 dB (95 % interval 18.28 to 18.32 dB, 5 seeds)."
    )
    assert lines[1] == (
        "The winner beats the reference by 0.300 dB (95 % interval 0.280 to 0.320 dB; "
        "paired t over 5 seeds, p < 0.001)."
    )
    assert "cannot fall under 0.062 with 5 seeds" in lines[2]
    assert "not certain" not in text


def test_a_winner_that_is_worse_is_said_to_be_worse() -> None:
    assert "a is worse than the reference by 0.300 dB" in _text(_confirmed({"a": _gain(-0.3)}))


def test_a_loss_that_fell_beats_the_reference() -> None:
    found = _confirmed({"a": _gain(-0.3)}, direction="minimize", metric="test/neg_elbo")
    assert "a beats the reference by 0.300 nats/image (95 % interval 0.280 to 0.320" in _text(found)


def test_a_difference_within_the_noise_is_not_called_a_win() -> None:
    noisy = [0.3, -0.2, 0.25, -0.1, 0.02, 0.0]
    text = _text(_confirmed({"a": noisy}))
    assert "Whether a beats the reference is not certain: it is 0.054 dB better (95 %" in text
    assert "cannot be seen with these 5 seeds" in text
    assert "a beats" not in text.replace("Whether a beats", "")


def test_what_only_the_correction_takes_away_is_said() -> None:
    borderline = [0.02, 0.20, 0.12, 0.25, 0.05, 0.10]
    noise = [0.3, -0.2, 0.25, -0.1, 0.02, 0.0]
    found = _confirmed({"a": borderline, "b": noise})
    comparison = found.comparison("a")
    assert comparison is not None
    assert comparison.p_t < 0.05 < comparison.p_holm
    text = _text(found)
    assert "after Holm's correction for 2 comparisons" in text
    assert "Alone this comparison would pass as certain" in text
    assert "Whether a beats the reference is not certain" in text


def test_enough_seeds_need_no_remark_on_the_sign_flip_test() -> None:
    text = _text(_confirmed({"a": _gain(0.3)}, seeds=6))
    assert "sign-flip" not in text


def test_a_sign_flip_test_that_could_agree_and_does_not_is_reported() -> None:
    # With six seeds the sign-flip test could reach .031, but one difference is negative.
    mixed = [0.30, 0.32, 0.31, 0.29, 0.33, -0.02]
    found = _confirmed({"a": mixed}, seeds=6)
    comparison = found.comparison("a")
    assert comparison is not None
    assert comparison.p_t < 0.05 < comparison.p_sign_flip
    assert "The sign-flip test, which assumes less, does not agree" in _text(found)


def test_a_difference_that_no_seed_moves_is_not_dressed_up_as_certain() -> None:
    frame = pd.DataFrame(
        [
            {"configuration": name, "seed": seed, "value": value}
            for name, value in (("a", 2.0), ("reference", 1.0))
            for seed in range(5)
        ]
    )
    found = confirm(
        frame, metric="x", direction="maximize", reference="reference", search_scores={"a": 2.0}
    )
    text = _text(found)
    assert "Whether a beats the reference is not certain" in text
    assert "sign flips over 5 seeds, p 0.062" in text
    assert "The seeds do not vary the difference" in text


def test_one_seed_proves_nothing() -> None:
    text = _text(_confirmed({"a": _gain(0.3)}, seeds=1))
    assert "one seed says nothing of the uncertainty" in text
    assert "cannot be told: 1 seed finished for both" in text
    assert "than its one confirmation run" in text
    assert "nan" not in text


def test_a_winner_without_runs_is_unconfirmed() -> None:
    found = _confirmed({"a": _gain(0.3)}, search_scores={"z": 19.0, "a": 18.0})
    text = _text(found)
    assert "z has no finished confirmation run, so nothing is confirmed." in text
    assert "cannot be told: no seeds finished for both" in text
    assert "nan" not in text
    assert "–" not in text


def test_a_reference_that_wins_is_not_said_to_beat_itself() -> None:
    found = _confirmed({"a": _gain(-0.3)}, search_scores={"reference": 18.4, "a": 18.3})
    text = _text(found)
    assert "The search found nothing better than the reference" in text
    assert "beats" not in text


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (18.80, "18.80 dB, 0.500 dB better than confirmed, more than chance explains (the luck"),
        (18.31, "18.31 dB, 0.010 dB better than confirmed, which may be chance (the luck of one"),
        (18.00, "18.00 dB, 0.300 dB worse than confirmed, more than chance explains (the luck"),
    ],
)
def test_the_searchs_flattery_is_said_as_far_as_it_is_certain(shown: float, sentence: str) -> None:
    text = _text(_confirmed({"a": _gain(0.3)}, search_scores={"a": shown}))
    assert f"The search had shown {sentence}" in text


def test_optimism_names_fresh_runs_and_the_step_to_the_test_set() -> None:
    confirmation = _confirmed({"a": _gain(0.3)})
    frame = pd.DataFrame(
        [
            {"configuration": "a", "seed": seed, "value": value, "val": value + 0.1}
            for seed, value in enumerate(STEADY)
        ]
    )
    confirmation = confirm(
        frame,
        metric="test/psnr",
        direction="maximize",
        reference="reference",
        search_scores={"a": 18.4},
        validation="val",
    )
    text = _text(confirmation)
    assert (
        "Of that, +0.300 dB is the search's score against fresh runs, both on validation images, "
        "and +0.100 dB is validation against test."
    ) in text


def test_an_order_that_held_says_where_the_seeds_do_not_tell_apart() -> None:
    clear = _text(_confirmed({"a": _gain(0.6), "b": _gain(0.3)[::-1]}))
    assert "The order of the 2 confirmed configurations held (Kendall's tau 1.00)." in clear
    close = [0.301, 0.25, 0.36, 0.31, 0.27, 0.3]
    unclear = _text(_confirmed({"a": _gain(0.31), "b": close}))
    assert "held (Kendall's tau 1.00), though the seeds do not tell every pair apart." in unclear


def test_an_order_that_did_not_hold_keeps_the_winner_that_validation_chose() -> None:
    text = _text(_confirmed({"a": _gain(0.3), "b": _gain(0.6)[::-1]}))
    assert "The order of the 2 confirmed configurations did not hold (Kendall's tau -1.00)." in text
    assert "b came out ahead of a by 0." in text
    assert "more than chance explains (p < 0.001, corrected for all pairs)" in text
    assert "The winner stays the one that validation chose" in text


def test_seeds_that_failed_are_named() -> None:
    frame = pd.DataFrame(
        {
            "configuration": ["a"] * 4 + ["reference"] * 4,
            "seed": [0, 1, 2, 3] * 2,
            "value": [2.0, 2.1, math.nan, math.nan, 1.0, 1.1, 1.0, 1.1],
        }
    )
    found = confirm(
        frame, metric="x", direction="maximize", reference="reference", search_scores={"a": 2.0}
    )
    assert "a did not finish seeds 2, 3: a configuration that fails on some seeds" in _text(found)
