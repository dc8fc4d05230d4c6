"""A worker's bench: how many trials it takes, and what becomes of them when memory runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from studies.workers import workbench
from studies.workers.workbench import Workbench
from tests.vae_trainables.cohort.support import config, small_data, solo, varied
from vae_trainables.cohort import Assignment, Cohort
from vae_trainables.config import TrialConfig
from vae_trainables.training.session import Record


def bench(slots: int | None, **settings: Any) -> Workbench:
    return Workbench(small_data(), device="cpu", slots=slots, **settings)


def assign(chosen: TrialConfig, folder: Path, told: int = 0) -> Assignment:
    return Assignment(chosen, folder, told=told)


def train(each: Workbench, records: dict[str, list[Record]], epochs: int) -> list[str]:
    """Train; the keys of those that lost their slot on the way."""
    lost = []
    for _ in range(epochs):
        told, evicted = each.run_epoch()
        lost += evicted
        for key, record in told:
            records.setdefault(key, []).append(record)
    return lost


def test_slots_are_measured_once_and_with_the_first_trial(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def measure(first: TrialConfig, data: Any, **how: Any) -> int:
        asked.append({"first": first, **how})
        return 3

    configs = varied(count=4)
    each = bench(None, size=measure)
    assert each.slots == 1
    for i, chosen in enumerate(configs[:3]):
        each.take(str(i), assign(chosen, tmp_path / str(i)))
    assert (each.slots, len(each.seats)) == (3, 3)
    assert [found["first"] for found in asked] == [configs[0]]
    assert (asked[0]["device"], asked[0]["like"]) == ("cpu", ())


def test_a_number_of_slots_is_taken_without_measuring(tmp_path: Path) -> None:
    def measure(*found: Any, **how: Any) -> int:
        raise AssertionError("measured although a number was given")

    each = bench(2, size=measure)
    each.take("a", assign(config(), tmp_path))
    assert each.slots == 2


def test_memory_that_ends_while_seating_halves_the_slots_and_evicts_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tight(*found: Any, slots: int, **how: Any) -> Cohort:
        if slots > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Cohort(*found, slots=slots, **how)

    monkeypatch.setattr(workbench, "Cohort", tight)
    each = bench(4)
    for i, chosen in enumerate(varied(count=3)):
        assert each.take(str(i), assign(chosen, tmp_path / str(i))) == []
    assert (each.slots, list(each.seats)) == (1, ["0"])
    records: dict[str, list[Record]] = {}
    assert train(each, records, 2) == ["1", "2"]
    assert [record.outcome for record in records["0"]] == ["running", "finished"]


def test_memory_that_ends_in_an_epoch_costs_nobody_a_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = {str(i): chosen for i, chosen in enumerate(varied(count=2, epochs=3))}
    each = bench(2, save_every_s=0.0)
    records: dict[str, list[Record]] = {}
    for key, chosen in configs.items():
        each.take(key, assign(chosen, tmp_path / key))
    train(each, records, 1)

    def crowded(self: Cohort) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Cohort, "run_epoch", crowded)
        assert train(each, records, 1) == ["0", "1"]
    assert (each.slots, each.seats) == (1, {})
    for key, chosen in configs.items():
        each.take(key, assign(chosen, tmp_path / key, told=1))
        train(each, records, 2)
    for key, chosen in configs.items():
        assert [record.epoch for record in records[key]] == [1, 2, 3]
        alone = solo(chosen, epochs=3).history[-1]["metrics"]
        assert records[key][-1].metrics["val/mse"] == alone["val/mse"]


def test_one_trial_that_needs_more_memory_than_there_is_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*found: Any, **how: Any) -> Cohort:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(workbench, "Cohort", full)
    (record,) = bench(4).take("a", assign(config(), tmp_path))
    assert record.outcome == "out_of_memory"


def test_kinds_that_cannot_be_fused_train_beside_each_other(tmp_path: Path) -> None:
    each = bench(2)
    for i, chosen in enumerate(varied("res_conv_vae", count=2, epochs=1)):
        each.take(str(i), assign(chosen, tmp_path / str(i)))
    records: dict[str, list[Record]] = {}
    assert train(each, records, 1) == []
    assert sorted(records) == ["0", "1"]


def test_a_trial_that_is_wider_than_the_study_usually_is_gets_a_cohort_of_its_own(
    tmp_path: Path,
) -> None:
    each = bench(4)
    each.take("narrow", assign(config(epochs=1), tmp_path / "narrow"))
    each.take("wide", assign(config(latent_dim=20, epochs=1), tmp_path / "wide"))
    records: dict[str, list[Record]] = {}
    train(each, records, 1)
    assert {key: found[-1].outcome for key, found in records.items()} == {
        "narrow": "finished",
        "wide": "finished",
    }


def test_the_cohorts_of_several_keys_share_the_slots(tmp_path: Path) -> None:
    configs = [*varied(count=2), *varied(count=2, hidden=(48, 32))]
    each = bench(4, like=configs)
    for i, chosen in enumerate(configs):
        each.take(str(i), assign(chosen, tmp_path / str(i)))
    assert len(each.seats) == 4
    assert {(id(seat.cohort), seat.cohort.slots) for seat in each.seats.values()} == {
        (id(seat.cohort), 2) for seat in each.seats.values()
    }
    assert len({id(seat.cohort) for seat in each.seats.values()}) == 2


def test_memory_that_ends_beside_others_makes_a_trial_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = bench(4)
    first, second = varied(count=2, epochs=1)
    each.take("a", assign(first, tmp_path / "a"))

    def full(self: Cohort, slot: int, assignment: Assignment) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Cohort, "admit", full)
    assert each.take("b", assign(second, tmp_path / "b")) == []
    records: dict[str, list[Record]] = {}
    assert train(each, records, 1) == ["b"]
    assert (each.slots, list(records)) == (1, ["a"])


def test_a_trial_that_moves_to_another_bench_goes_on_where_it_was(tmp_path: Path) -> None:
    moving, staying = varied(count=2, epochs=3)
    here, there = bench(2, save_every_s=1e9), bench(2)  # nothing would be saved by itself
    records: dict[str, list[Record]] = {}
    here.take("moving", assign(moving, tmp_path / "moving"))
    there.take("staying", assign(staying, tmp_path / "staying"))
    train(here, records, 2)
    (slots,) = there.stacked_slots().values()
    assert slots == 2
    assert here.move_out("moving") is None
    assert not here.seats
    there.take("moving", assign(moving, tmp_path / "moving", told=2))
    train(there, records, 1)
    assert [record.epoch for record in records["moving"]] == [1, 2, 3]
    alone = solo(moving, epochs=3).history[-1]["metrics"]
    assert records["moving"][-1].metrics["val/mse"] == alone["val/mse"]


def test_a_trial_that_cannot_be_saved_does_not_move_in_silence(tmp_path: Path) -> None:
    here = bench(2, save_every_s=1e9)
    (tmp_path / "a").write_text("no folder")
    here.take("a", assign(config(epochs=3), tmp_path / "a"))
    here.run_epoch()
    record = here.move_out("a")
    assert record is not None
    assert record.outcome in ("unsaved", "failed")
