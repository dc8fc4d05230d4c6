"""Schedules: the curves that the papers and R2 state, and watchers that survive a checkpoint."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from vae_trainables.config import BETA_SCHEDULES, BetaSchedule, TrialConfig
from vae_trainables.training import schedules

SCHEDULES: tuple[BetaSchedule, ...] = tuple(BETA_SCHEDULES)
RISING = [name for name in SCHEDULES if name not in ("constant", "cyclical")]

any_schedule = st.sampled_from(SCHEDULES)


def config(**settings: object) -> TrialConfig:
    return TrialConfig.model_validate(settings)


@given(
    any_schedule, st.floats(0, 1e3), st.integers(0, 40), st.integers(0, 10**6), st.integers(1, 500)
)
def test_beta_never_leaves_zero_to_max(
    name: BetaSchedule, top: float, warmup: int, step: int, per_epoch: int
) -> None:
    weight = schedules.beta(
        config(beta=top, beta_schedule=name, warmup_epochs=warmup).objective, step, per_epoch
    )
    assert 0 <= weight <= top


@given(st.sampled_from(RISING), st.integers(1, 20), st.integers(0, 3000), st.integers(1, 100))
def test_warm_up_never_falls_and_ends_exactly_at_max(
    name: BetaSchedule, warmup: int, step: int, per_epoch: int
) -> None:
    settings = config(beta=2.5, beta_schedule=name, warmup_epochs=warmup)
    now, later = (schedules.beta(settings.objective, s, per_epoch) for s in (step, step + 1))
    assert now <= later
    assert schedules.beta(settings.objective, warmup * per_epoch, per_epoch) == 2.5


@given(any_schedule, st.integers(0, 10**5))
def test_no_warm_up_is_constant_whatever_the_schedule(name: BetaSchedule, step: int) -> None:
    objective = config(beta=4.0, beta_schedule=name, warmup_epochs=0).objective
    assert schedules.beta(objective, step, 7) == 4.0


def test_linear_is_the_staircase_of_r2() -> None:
    objective = config(beta=1.0, beta_schedule="linear", warmup_epochs=8).objective
    steps = 235
    first = [schedules.beta(objective, epoch * steps, steps) for epoch in range(10)]
    last = [schedules.beta(objective, (epoch + 1) * steps - 1, steps) for epoch in range(10)]
    assert first == last == [1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["cosine", "sigmoid"])
def test_smooth_schedules_start_at_zero_and_pass_half_in_the_middle(name: BetaSchedule) -> None:
    settings = config(beta=3.0, beta_schedule=name, warmup_epochs=4)
    start, early, middle = (schedules.beta(settings.objective, step, 10) for step in (0, 10, 20))
    assert start == 0
    assert middle == pytest.approx(1.5, abs=1e-12)
    assert 0 < early < 0.75, "an S-curve lies below the straight line in its first half"


def test_cosine_and_sigmoid_take_their_stated_values() -> None:
    cosine = config(beta=1.0, beta_schedule="cosine", warmup_epochs=4).objective
    assert schedules.beta(cosine, 10, 10) == pytest.approx(0.5 * (1 - math.cos(math.pi / 4)))
    sigmoid = config(beta=1.0, beta_schedule="sigmoid", warmup_epochs=4).objective
    low, quarter, high = (1 / (1 + math.exp(-x)) for x in (-6.0, -3.0, 6.0))
    assert schedules.beta(sigmoid, 10, 10) == pytest.approx((quarter - low) / (high - low))


def test_cyclical_rises_half_a_period_rests_and_starts_again() -> None:
    settings = config(beta=1.0, beta_schedule="cyclical", warmup_epochs=2)
    period = [schedules.beta(settings.objective, step, 4) for step in range(8)]
    assert period == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert [schedules.beta(settings.objective, step, 4) for step in range(8, 24)] == period * 2


@pytest.mark.parametrize(("step", "per_epoch"), [(-1, 10), (0, 0)])
def test_beta_refuses_impossible_steps_by_value(step: int, per_epoch: int) -> None:
    with pytest.raises(ValueError, match=f"step {step} .* steps_per_epoch {per_epoch} "):
        schedules.beta(config().objective, step, per_epoch)


@given(st.integers(0, 2000), st.integers(1, 1000))
def test_cosine_lr_equals_torchs_annealing(step: int, total: int) -> None:
    settings = config(lr=0.01, lr_schedule="cosine")
    expected = 0.01 * 0.5 * (1 + math.cos(math.pi * min(step, total) / total))
    assert schedules.lr(settings.optimiser, step, total) == pytest.approx(expected, abs=1e-15)
    assert schedules.lr(settings.optimiser, 0, total) == 0.01
    assert schedules.lr(settings.optimiser, total, total) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_constant_and_plateau_leave_the_lr_alone(name: str) -> None:
    assert schedules.lr(config(lr=0.02, lr_schedule=name).optimiser, 77, 100) == 0.02


def test_lr_refuses_impossible_steps_by_value() -> None:
    with pytest.raises(ValueError, match=r"step -3 .* total_steps 5 "):
        schedules.lr(config().optimiser, -3, 5)


def test_only_a_beta_that_moves_counts_as_warm_up() -> None:
    assert schedules.warmup_epochs(config(beta_schedule="linear", warmup_epochs=8).objective) == 8
    assert schedules.warmup_epochs(config(beta_schedule="constant", warmup_epochs=8).objective) == 0


def plateau(**settings: object) -> TrialConfig:
    return config(lr_schedule="plateau", **settings)


@examples(deadline=None)  # torch imports its compiler with the first optimizer
@given(st.lists(st.floats(-10, 10) | st.just(math.nan), max_size=30), st.integers(0, 4))
def test_plateau_without_warm_up_equals_torchs(values: list[float], patience: int) -> None:
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, threshold=0, eps=0
    )
    watcher = schedules.Plateau(plateau(), patience=patience)
    for epoch, value in enumerate(values, start=1):
        reference.step(value)
        assert watcher.update(epoch, value) == watcher.scale == optimizer.param_groups[0]["lr"]


def test_plateau_is_deaf_while_beta_rises() -> None:
    rising = [200.0, 210.0, 220.0, 230.0, 240.0, 250.0]
    deaf = schedules.Plateau(plateau(beta_schedule="linear", warmup_epochs=6), patience=0)
    hearing = schedules.Plateau(plateau(beta_schedule="constant", warmup_epochs=6), patience=0)
    for epoch, value in enumerate(rising, start=1):
        deaf.update(epoch, value)
        hearing.update(epoch, value)
    assert deaf.scale == 1
    assert hearing.scale == 0.5**5
    assert deaf.update(7, 250.0) == 1, "the first figure after warm-up sets the best"
    assert deaf.update(8, 250.0) == 0.5


def test_plateau_does_nothing_under_another_lr_schedule() -> None:
    watcher = schedules.Plateau(config(lr_schedule="constant"), patience=0)
    assert [watcher.update(epoch, 1.0) for epoch in range(1, 6)] == [1.0] * 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"factor": 1.0}, "factor 1.0"), ({"factor": 0.0}, "factor 0.0"), ({"patience": -1}, "-1")],
)
def test_plateau_refuses_impossible_settings_by_value(
    settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        schedules.Plateau(plateau(), **settings)


def test_early_stopping_counts_bad_epochs_in_a_row() -> None:
    stopping = schedules.EarlyStopping(config(patience=2))
    values = [5.0, 6.0, 4.0, 4.0, math.nan]
    decisions = [stopping.update(epoch, value) for epoch, value in enumerate(values, start=1)]
    assert decisions == [False, False, False, False, True]


def test_early_stopping_waits_for_warm_up() -> None:
    settings = config(patience=1, beta_schedule="cosine", warmup_epochs=3)
    stopping = schedules.EarlyStopping(settings)
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    decisions = [stopping.update(epoch, value) for epoch, value in enumerate(values, start=1)]
    assert decisions == [False, False, False, False, True]


def test_patience_zero_never_stops() -> None:
    stopping = schedules.EarlyStopping(config(patience=0))
    assert not any(stopping.update(epoch, float(epoch)) for epoch in range(1, 50))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.integers(0, 20))
def test_watchers_continue_from_a_json_checkpoint(values: list[float], cut: int) -> None:
    settings = plateau(patience=3)
    for kind in (schedules.Plateau, schedules.EarlyStopping):
        whole, before, after = kind(settings), kind(settings), kind(settings)
        decisions = [whole.update(epoch, value) for epoch, value in enumerate(values, start=1)]
        resumed = [before.update(epoch, v) for epoch, v in enumerate(values[:cut], start=1)]
        after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
        resumed += [after.update(e, v) for e, v in enumerate(values[cut:], start=cut + 1)]
        assert resumed == decisions
        assert after.state_dict() == whole.state_dict()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 3, 4])
def test_an_epoch_is_settled_where_beta_is_largest_in_its_second_half(
    name: BetaSchedule, warmup: int
) -> None:
    settings = config(beta=2.7, beta_schedule=name, warmup_epochs=warmup)
    for epoch in range(1, 10):
        steps = range(epoch * 10 - 5, epoch * 10)
        full = all(schedules.beta(settings.objective, step, 10) == 2.7 for step in steps)
        assert schedules.settled(settings, epoch) == full


def test_watchers_do_not_hear_where_a_cycle_begins_anew() -> None:
    stopping = schedules.EarlyStopping(
        config(beta_schedule="cyclical", warmup_epochs=4, patience=1)
    )
    assert not stopping.update(7, 1.0)
    assert not stopping.update(9, 9.0), "beta is small again: the figure is of another loss"
    assert stopping.update(11, 1.0)
