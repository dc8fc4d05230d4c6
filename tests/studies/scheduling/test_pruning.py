from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import MedianStoppingRule
from ray.tune.schedulers.async_hyperband import _Bracket
from ray.tune.schedulers.trial_scheduler import TrialScheduler

from studies.ledger.trials import LedgerTrial
from studies.scheduling.pruning import (
    EndingRule,
    Hyperband,
    MedianStopping,
    Promotion,
    Reading,
    SuccessiveHalving,
    comparable,
)
from vae_trainables.config import TrialConfig


class RayTrial:
    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


@pytest.mark.parametrize("seed", range(20))
def test_decisions_are_those_of_rays_asha(seed: int) -> None:
    """Tabulated curves, random order of arrival, no training."""
    random = np.random.default_rng(seed)
    curves = random.random((30, 27)).cumsum(1)
    ours = SuccessiveHalving(grace=1, eta=3, max_epochs=27, direction="maximize")
    rays = _Bracket(1, 27, 3, 0)
    at = dict.fromkeys(range(30), 0)
    while at:
        i = int(random.choice(list(at)))
        at[i] += 1
        value = float(curves[i, at[i] - 1])
        stop = ours.should_stop(str(i), at[i], Reading(value))
        assert stop == (rays.on_result(RayTrial(str(i)), at[i], value) == TrialScheduler.STOP)
        if stop or at[i] == 27:
            del at[i]


def test_minimising_is_maximising_the_negative() -> None:
    low = SuccessiveHalving(grace=1, eta=2, max_epochs=8, direction="minimize")
    high = SuccessiveHalving(grace=1, eta=2, max_epochs=8, direction="maximize")
    values = np.random.default_rng(0).random((20, 8))
    for epoch in range(1, 9):
        for i, value in enumerate(values[:, epoch - 1]):
            assert low.should_stop(str(i), epoch, Reading(value)) == high.should_stop(
                str(i), epoch, Reading(-value)
            )


def test_nothing_ends_before_the_grace_period() -> None:
    rule = SuccessiveHalving(grace=3, eta=3, max_epochs=27, direction="minimize")
    assert rule.milestones == [27, 9, 3]
    for i in range(10):
        assert not rule.should_stop(str(i), 2, Reading(float(i)))


def test_a_restored_rule_decides_as_the_one_that_died() -> None:
    values = np.random.default_rng(1).random((12, 9))
    old = SuccessiveHalving(grace=1, eta=3, max_epochs=9, direction="minimize")
    for i in range(8):
        for epoch in range(1, 4):
            old.should_stop(str(i), epoch, Reading(values[i, epoch - 1]))
    new = SuccessiveHalving(grace=1, eta=3, max_epochs=9, direction="minimize")
    for i in range(8):
        new.restore(str(i), {epoch: Reading(values[i, epoch - 1]) for epoch in range(1, 4)})
    for i in range(8, 12):
        for epoch in range(1, 4):
            value = values[i, epoch - 1]
            assert old.should_stop(str(i), epoch, Reading(value)) == new.should_stop(
                str(i), epoch, Reading(value)
            )


@given(
    grace=st.integers(1, 10), eta=st.floats(1.5, 5), epochs=st.integers(1, 200), n=st.integers(1, 9)
)
def test_the_best_trial_of_a_rung_is_never_stopped(
    grace: int, eta: float, epochs: int, n: int
) -> None:
    rule = SuccessiveHalving(grace=grace, eta=eta, max_epochs=epochs, direction="maximize")
    for i in range(n):
        assert not rule.should_stop(str(i), epochs, Reading(float(i)))


def test_what_is_not_comparable_passes_its_rung_and_is_no_measure_there() -> None:
    rule = SuccessiveHalving(grace=1, eta=3, max_epochs=9, direction="minimize")
    assert not rule.should_stop("warming up", 1, None)
    assert not rule.should_stop("a", 1, Reading(0.9)), "the first that can be compared"
    assert not rule.should_stop("warming up", 2, Reading(5.0)), "the rung of epoch 1 is passed"
    assert not rule.should_stop("b", 1, Reading(0.8))
    assert rule.should_stop("c", 1, Reading(1.0))
    assert not rule.should_stop("a", 3, Reading(0.5))
    assert rule.should_stop("warming up", 3, Reading(0.6)), "at full beta it is compared as all are"


def test_a_reconstruction_is_read_with_the_share_of_beta_that_weighed() -> None:
    linear = TrialConfig(beta=4, beta_schedule="linear", warmup_epochs=3)
    readings = [comparable(linear, epoch, "val/mse", 0.5) for epoch in (1, 2, 3, 4)]
    assert [r and r.share for r in readings] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    autoencoder = linear.model_copy(update={"kind": "conv_ae"})
    assert comparable(autoencoder, 1, "val/mse", 0.5) == Reading(0.5)
    weightless = linear.model_copy(update={"beta": 0.0})
    assert comparable(weightless, 1, "val/mse", 0.5) == Reading(0.5)


@pytest.mark.parametrize("metric", ["val/neg_elbo", "val/probe", "val/frechet", "val/own"])
def test_what_beta_may_move_either_way_is_read_at_full_beta_only(metric: str) -> None:
    linear = TrialConfig(beta=4, beta_schedule="linear", warmup_epochs=3)
    readings = [comparable(linear, epoch, metric, 0.5) for epoch in (1, 2, 3, 4)]
    assert readings == [None, None, Reading(0.5), Reading(0.5)]


def test_who_is_flattered_and_still_behind_ends() -> None:
    rule = SuccessiveHalving(grace=1, eta=2, max_epochs=4, direction="minimize")
    assert not rule.should_stop("settled", 1, Reading(0.5))
    assert rule.should_stop("flattered and behind", 1, Reading(0.6, 0.2))
    assert not rule.should_stop("flattered and before", 1, Reading(0.1, 0.2))
    assert not rule.should_stop("settled too", 1, Reading(0.4)), "0.1 was no measure for it"
    assert rule.should_stop("flattered less", 1, Reading(0.46, 0.5)), "behind 0.5 and 0.4's middle"


def hyperband() -> Hyperband:
    return Hyperband(grace=1, eta=3, max_epochs=27, direction="maximize")


def test_hyperband_deals_trials_to_brackets_in_its_proportions() -> None:
    rule = hyperband()
    assert [bracket.milestones[-1] for bracket in rule.brackets] == [1, 3, 9, 27]
    assert rule.shares == [27, 12, 6, 4], "n of Li et al. 2018: ceil((s + 1) eta^s / (s + 1))"
    keys = [f"{number:04d}" for number in range(4_900)]
    counts = [sum(rule.bracket(key) is bracket for key in keys) for bracket in rule.brackets]
    expected = [100 * share for share in rule.shares]
    assert counts == pytest.approx(expected, rel=0.15)


def test_a_bracket_of_hyperband_compares_its_own_trials_alone() -> None:
    rule, values = hyperband(), np.random.default_rng(0).random((60, 27)).cumsum(1)
    alone = {
        id(b): SuccessiveHalving(grace=g, eta=3, max_epochs=27, direction="maximize")
        for b, g in zip(rule.brackets, (1, 3, 9, 27), strict=True)
    }
    for epoch in range(1, 28):
        for i, value in enumerate(values[:, epoch - 1]):
            own = alone[id(rule.bracket(str(i)))]
            stop = rule.should_stop(str(i), epoch, Reading(float(value)))
            assert stop == own.should_stop(str(i), epoch, Reading(float(value)))


@pytest.mark.parametrize("grace", [0, 2])
@pytest.mark.parametrize("seed", range(10))
def test_median_stopping_decides_as_rays_does(seed: int, grace: int) -> None:
    random = np.random.default_rng(seed)
    curves = random.random((12, 9)).cumsum(1)
    ours = MedianStopping(grace=max(grace, 1), direction="maximize")
    rays = MedianStoppingRule(
        "t", "v", "max", max(grace, 1), min_samples_required=3, min_time_slice=float("inf")
    )
    trials = {i: RayTrial(str(i)) for i in range(12)}
    at = dict.fromkeys(range(12), 0)
    while at:
        i = int(random.choice(list(at)))
        at[i] += 1
        value = float(curves[i, at[i] - 1])
        stop = ours.should_stop(str(i), at[i], Reading(value))
        result = {"t": at[i], "v": value, "training_iteration": at[i]}
        assert stop == (rays.on_trial_result(None, trials[i], result) == TrialScheduler.STOP)
        if stop or at[i] == 9:
            del at[i]


@pytest.mark.parametrize("make", [hyperband, lambda: MedianStopping(grace=1, direction="maximize")])
def test_other_rules_decide_after_a_restart_as_before(make: Callable[[], EndingRule]) -> None:
    values = np.random.default_rng(1).random((24, 9)).cumsum(1)
    old, new = make(), make()
    for i in range(16):
        for epoch in range(1, 7):
            old.should_stop(str(i), epoch, Reading(values[i, epoch - 1]))
        new.restore(str(i), {epoch: Reading(values[i, epoch - 1]) for epoch in range(1, 7)})
    stops = set()
    for i in range(16, 24):
        for epoch in range(1, 7):
            stop = old.should_stop(str(i), epoch, Reading(values[i, epoch - 1]))
            assert stop == new.should_stop(str(i), epoch, Reading(values[i, epoch - 1]))
            stops.add(stop)
    assert stops == {True, False}


def test_median_stopping_passes_over_what_may_not_be_compared() -> None:
    rule = MedianStopping(grace=1, direction="minimize")
    for i in range(3):
        assert not rule.should_stop(str(i), 1, Reading(0.5))
    assert not rule.should_stop("warming up", 1, None)
    assert rule.should_stop("behind", 1, Reading(0.6))


def at_a_rung(values: list[float], share: float = 1.0) -> tuple[Promotion, list[LedgerTrial]]:
    rule = Promotion(grace=2, eta=4.0, max_epochs=8, direction="minimize")
    trials = [LedgerTrial("search", number, TrialConfig()) for number in range(len(values))]
    for trial, value in zip(trials, values, strict=True):
        trial.reports[2] = {"val/mse": value}
        assert not rule.should_stop(trial.key, 2, Reading(value, share))
    return rule, trials


@pytest.mark.parametrize(("count", "promoted"), [(1, 0), (3, 0), (4, 1), (7, 1), (8, 2)])
def test_the_best_share_of_a_rung_is_promoted(count: int, promoted: int) -> None:
    """Of so many a whole number of them: floor(n / eta), as Li et al. have it."""
    rule, trials = at_a_rung([float(value) for value in range(count)])
    standings = [rule.standing(trial) for trial in trials]
    assert standings == ["ready"] * promoted + ["waits"] * (count - promoted)


def test_who_waits_goes_on_once_worse_ones_have_come() -> None:
    rule, trials = at_a_rung([1.0, 5.0, 6.0])
    assert rule.standing(trials[0]) == "waits"
    rule.should_stop("0003", 2, Reading(7.0))
    assert [rule.standing(trial) for trial in trials] == ["ready", "waits", "waits"]
    trials[0].reports[3] = {"val/mse": 9.0}
    assert rule.standing(trials[0]) == "ready", "between two rungs nobody waits"


def test_those_flattered_more_are_no_measure_for_promotion() -> None:
    rule, trials = at_a_rung([1.0, 2.0, 3.0, 4.0], share=0.5)
    rule.should_stop("0004", 2, Reading(5.0))
    whole = LedgerTrial("search", 4, TrialConfig(), reports={2: {"val/mse": 5.0}})
    assert rule.standing(whole) == "waits", "alone at full β"
    assert rule.standing(trials[0]) == "ready"


def test_the_reference_and_what_may_not_be_compared_do_not_wait() -> None:
    rule, trials = at_a_rung([1.0, 2.0, 3.0, 4.0])
    trials[3].reference = True
    rule.should_stop("0004", 2, None)
    untold = LedgerTrial("search", 4, TrialConfig(), reports={2: {}})
    assert (rule.standing(trials[3]), rule.standing(untold)) == ("ready", "ready")
