from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers.async_hyperband import _Bracket
from ray.tune.schedulers.trial_scheduler import TrialScheduler

from studies.scheduling.pruning import SuccessiveHalving, comparable
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
        stop = ours.should_stop(str(i), at[i], value)
        assert stop == (rays.on_result(RayTrial(str(i)), at[i], value) == TrialScheduler.STOP)
        if stop or at[i] == 27:
            del at[i]


def test_minimising_is_maximising_the_negative() -> None:
    low = SuccessiveHalving(grace=1, eta=2, max_epochs=8, direction="minimize")
    high = SuccessiveHalving(grace=1, eta=2, max_epochs=8, direction="maximize")
    values = np.random.default_rng(0).random((20, 8))
    for epoch in range(1, 9):
        for i, value in enumerate(values[:, epoch - 1]):
            assert low.should_stop(str(i), epoch, value) == high.should_stop(str(i), epoch, -value)


def test_nothing_ends_before_the_grace_period() -> None:
    rule = SuccessiveHalving(grace=3, eta=3, max_epochs=27, direction="minimize")
    assert rule.milestones == [27, 9, 3]
    for i in range(10):
        assert not rule.should_stop(str(i), 2, float(i))


def test_a_restored_rule_decides_as_the_one_that_died() -> None:
    values = np.random.default_rng(1).random((12, 9))
    old = SuccessiveHalving(grace=1, eta=3, max_epochs=9, direction="minimize")
    for i in range(8):
        for epoch in range(1, 4):
            old.should_stop(str(i), epoch, values[i, epoch - 1])
    new = SuccessiveHalving(grace=1, eta=3, max_epochs=9, direction="minimize")
    for i in range(8):
        new.restore(str(i), {epoch: values[i, epoch - 1] for epoch in range(1, 4)})
    for i in range(8, 12):
        for epoch in range(1, 4):
            value = values[i, epoch - 1]
            assert old.should_stop(str(i), epoch, value) == new.should_stop(str(i), epoch, value)


@given(
    grace=st.integers(1, 10), eta=st.floats(1.5, 5), epochs=st.integers(1, 200), n=st.integers(1, 9)
)
def test_the_best_trial_of_a_rung_is_never_stopped(
    grace: int, eta: float, epochs: int, n: int
) -> None:
    rule = SuccessiveHalving(grace=grace, eta=eta, max_epochs=epochs, direction="maximize")
    for i in range(n):
        assert not rule.should_stop(str(i), epochs, float(i))


def test_what_is_not_comparable_passes_its_rung_and_is_no_measure_there() -> None:
    rule = SuccessiveHalving(grace=1, eta=3, max_epochs=9, direction="minimize")
    assert not rule.should_stop("warming up", 1, None)
    assert not rule.should_stop("a", 1, 0.9), "the first that can be compared"
    assert not rule.should_stop("warming up", 2, 5.0), "the rung of epoch 1 is passed"
    assert not rule.should_stop("b", 1, 0.8)
    assert rule.should_stop("c", 1, 1.0)
    assert not rule.should_stop("a", 3, 0.5)
    assert rule.should_stop("warming up", 3, 0.6), "at full beta it is compared as all are"


def test_a_trial_is_compared_where_its_beta_is_largest() -> None:
    linear = TrialConfig(beta=4, beta_schedule="linear", warmup_epochs=3)
    assert [comparable(linear, epoch, 0.5) for epoch in (1, 2, 3, 4)] == [None, None, 0.5, 0.5]
    autoencoder = linear.model_copy(update={"kind": "conv_ae"})
    assert comparable(autoencoder, 1, 0.5) == 0.5
