"""Where the last trials of a study go."""

from __future__ import annotations

from studies.workers.gathering import Bench, host

SLOTS = {worker: Bench(4, {"mlp": 4}) for worker in "abc"}


def test_the_emptiest_goes_to_the_fullest_that_has_slots() -> None:
    trials = {"a": {"mlp": 1}, "b": {"mlp": 2}, "c": {"mlp": 3}}
    assert host("a", trials, SLOTS) == "c"
    assert host("b", trials, SLOTS) is None  # c has one slot left, a holds fewer
    assert host("c", trials, SLOTS) is None


def test_equals_go_one_way_at_a_time() -> None:
    trials = {"a": {"mlp": 2}, "b": {"mlp": 2}, "c": {"mlp": 1}}
    assert host("a", trials, SLOTS) == "b"
    assert host("b", {"a": {"mlp": 0}, "b": {"mlp": 4}, "c": {"mlp": 1}}, SLOTS) is None


def test_slots_of_another_key_and_trials_alone_are_no_place_to_go() -> None:
    trials = {"a": {"mlp": 1, "conv": 1}, "b": {"mlp": 2}}
    assert host("a", trials, {"b": Bench(8, {"mlp": 4})}) is None
    assert host("a", trials, {"b": Bench(8, {"mlp": 4, "conv": 1})}) == "b"
    assert host("a", trials, {"b": Bench(8, {})}) is None  # b's trials train alone


def test_a_worker_takes_no_more_than_its_slots_whatever_its_cohorts_have() -> None:
    trials = {"a": {"mlp": 2}, "b": {"mlp": 3}}
    assert host("a", trials, {"b": Bench(4, {"mlp": 8})}) is None
