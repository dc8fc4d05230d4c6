"""The dealer: hands of trials for workers, and what becomes of them when a worker dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from studies.scheduling.desk import Limits
from studies.tracker import names
from studies.workers.cohorts import DEATHS_IN_A_ROW, Dealer
from studies.workers.mailbox import Mailbox, epoch_result
from tests.studies.scheduling.test_desk import Office
from vae_trainables.cohort import fusion_key
from vae_trainables.training.session import Record

pytestmark = pytest.mark.slow  # starts Ray: the mailbox is a real actor


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Any]:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield Mailbox.remote()  # type: ignore[attr-defined]
    ray.shutdown()


@pytest.fixture
def dealer(mailbox: Any, tmp_path: Path) -> Dealer:
    office = Office(tmp_path, limits=Limits(worker_retries=1))
    for worker in ("a", "b"):
        ray.get(mailbox.take.remote(worker))
    return Dealer(office.desk, mailbox, slots=3)


def letters(dealer: Dealer, worker: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.get(dealer.mailbox.take.remote(worker))
    return found


def result(*keys: str, epoch: int = 1, outcome: str = "running", slots: int = 3) -> dict[str, Any]:
    """What a worker returns after an epoch of these trials."""
    record = Record(epoch, outcome, "", 1, {"val/mse": 0.5})  # type: ignore[arg-type]
    return epoch_result([(key, record) for key in keys], slots=slots)


def test_a_worker_is_dealt_as_many_trials_as_it_has_slots(dealer: Dealer) -> None:
    assert dealer.deal("a", 3)
    assert [letter["key"] for letter in letters(dealer, "a")] == ["0000", "0001", "0002"]
    assert dealer.hear("a", result("0001", outcome="finished", slots=4))
    assert [letter["key"] for letter in letters(dealer, "a")] == ["0003", "0004"]


def test_a_death_of_several_counts_against_none_and_each_goes_on_alone(dealer: Dealer) -> None:
    dealer.deal("a", 3)
    dealer.lost("a", "the worker process died")
    desk = dealer.desk
    assert not desk.tally.lost_workers
    letters(dealer, "a")
    dealer.deal("a", 3)
    (alone,) = letters(dealer, "a")
    assert alone["key"] == "0000"
    dealer.hear("a", result("0000", outcome="finished"))
    dealt = []
    while dealer.suspects:  # 0001 kills its worker, with --worker-retries 1 twice
        (alone,) = letters(dealer, "a")
        dealt.append(alone["key"])
        if alone["key"] == "0001":
            dealer.lost("a", "the worker process died")
            dealer.deal("a", 3)
        else:
            dealer.hear("a", result(alone["key"], outcome="finished"))
    assert dealt == ["0001", "0002", "0001"]
    assert desk.ledger.trials["0001"].status == "worker_lost"
    assert len(dealer.hands["a"]) == 3


def test_another_worker_keeps_what_it_has_while_suspects_are_tried(dealer: Dealer) -> None:
    dealer.deal("a", 3)
    dealer.deal("b", 3)
    dealer.lost("a", "the worker process died")
    dealer.hear("b", result("0003"))
    assert sorted(dealer.hands["b"]) == ["0003", "0004", "0005"]


def test_an_evicted_trial_that_was_pruned_meanwhile_is_not_missed(dealer: Dealer) -> None:
    dealer.deal("a", 1)
    told = result("0000", outcome="finished") | {"evicted": json.dumps(["0000"])}
    assert dealer.hear("a", told)
    assert dealer.desk.ledger.trials["0000"].status == "finished"


def test_workers_that_only_die_stop_the_study(dealer: Dealer) -> None:
    for _ in range(DEATHS_IN_A_ROW):
        dealer.lost("a", "CUDA does not start")
    assert not dealer.desk.stop_reason
    dealer.lost("a", "CUDA does not start")
    assert "workers died one after the other (CUDA does not start)" in dealer.desk.stop_reason


def test_an_idle_worker_stays_while_others_may_lose_trials(dealer: Dealer) -> None:
    desk = dealer.desk
    dealer.deal("a", 2)
    desk.source = lambda: None
    assert dealer.deal("b", 3)
    dealer.hear("a", result("0000", "0001", outcome="finished"))
    assert not dealer.deal("b", 3)


def test_a_slower_way_is_said_once_and_is_a_tag_of_each_trial(
    dealer: Dealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    tags: dict[str, dict[str, object]] = {}
    monkeypatch.setattr(dealer.desk, "say", said.append)
    monkeypatch.setattr(dealer.desk.tracker, "tags", tags.__setitem__)
    dealer.deal("a", 2)
    dealer.deal("b", 2)
    notes = json.dumps(["no Triton kernels: slower"])
    news = {"notes": notes, "ways": json.dumps({"0000": "alone: slower", "0009": "alone"})}
    dealer.hear("a", result("0000", slots=2) | news)
    dealer.hear("b", result("0002", slots=2) | {"notes": notes, "ways": "{}"})
    assert said == ["a: no Triton kernels: slower"]
    assert tags["0000"] == {names.WAY: "alone: slower"}
    assert "0009" not in tags


def at_the_end(dealer: Dealer) -> dict[str, Any]:
    """Workers "a" with one trial and "b" with two, no other to come; what b says of its slots."""
    dealer.deal("a", 1)
    dealer.deal("b", 2)
    dealer.desk.source = lambda: None
    (shared,) = {fusion_key(trial.config).shared for trial in dealer.hands["a"].values()}
    stacked = {"stacked": json.dumps({shared: 3})}
    dealer.hear("b", result("0001", "0002") | stacked)
    letters(dealer, "a")
    letters(dealer, "b")
    return stacked


def test_the_last_trials_gather_in_one_cohort(
    dealer: Dealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(dealer.desk, "say", said.append)
    stacked = at_the_end(dealer)
    assert dealer.hear("a", result("0000") | stacked)
    assert said == ["a: no trial is left to begin; 0000 go on in slots of b"]
    assert letters(dealer, "a") == [{"move": "0000"}]
    assert letters(dealer, "b") == []
    dealer.hear("b", result("0001", "0002", epoch=2) | stacked)  # it leaves nothing meanwhile
    assert letters(dealer, "b") == []
    assert dealer.hear("a", result() | stacked | {"moved": json.dumps(["0000"])})
    (arrived,) = letters(dealer, "b")
    assert (arrived["key"], arrived["told"]) == ("0000", 1)
    assert sorted(dealer.hands["b"]) == ["0000", "0001", "0002"]
    assert dealer.desk.ledger.trials["0000"].status == "running"
    gone = result("0000", "0001", "0002", epoch=3, outcome="finished") | stacked
    assert not dealer.hear("b", gone)
    assert not dealer.hear("a", result() | stacked)


def test_a_trial_that_ends_before_it_can_move_has_ended_once(dealer: Dealer) -> None:
    stacked = at_the_end(dealer)
    dealer.hear("a", result("0000") | stacked)
    dealer.hear("a", result("0000", epoch=2, outcome="finished") | stacked)
    assert dealer.desk.ledger.trials["0000"].status == "finished"
    assert not dealer.moving
    assert "0000" not in dealer.hands["b"]


def test_a_trial_whose_next_worker_dies_waits_for_another(dealer: Dealer) -> None:
    stacked = at_the_end(dealer)
    dealer.hear("a", result("0000") | stacked)
    dealer.lost("b", "the worker process died")
    letters(dealer, "a")
    dealer.hear("a", result() | stacked | {"moved": json.dumps(["0000"])})
    (alone,) = letters(dealer, "a")  # one of all three: b's two are suspects
    under_way = {*dealer.hands["a"], *(trial.key for trial in dealer.desk.backlog)}
    assert under_way == {"0000", "0001", "0002"}
    assert alone["key"] in under_way


def test_who_has_given_up_its_trials_takes_new_ones_only_where_others_are_full(
    dealer: Dealer,
) -> None:
    source = dealer.desk.source
    stacked = at_the_end(dealer)
    dealer.hear("a", result("0000") | stacked)
    dealer.hear("b", result("0002", epoch=2, outcome="finished") | stacked)
    dealer.hear("a", result() | stacked | {"moved": json.dumps(["0000"])})
    dealer.desk.source = source
    dealer.hear("a", result() | stacked)
    assert not dealer.hands["a"]  # b has two of three
    dealer.hear("b", result("0000", epoch=2) | stacked)
    assert sorted(dealer.hands["b"]) == ["0000", "0001", "0003"]
    dealer.hear("a", result() | stacked)
    assert sorted(dealer.hands["a"]) == ["0004", "0005", "0006"]
