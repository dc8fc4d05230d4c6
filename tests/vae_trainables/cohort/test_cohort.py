"""Slots from the outside: who may sit down, what is told, and how trials come and go."""

from __future__ import annotations

import gc
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.vae_trainables.cohort.support import (
    Run,
    assert_same_bits,
    comparable,
    config,
    run_cohort,
    small_data,
    solo,
    varied,
)
from vae_trainables import checkpoint
from vae_trainables.cohort import Assignment, Cohort, CohortError, Ways, cohort
from vae_trainables.cohort.bank import Bank
from vae_trainables.config import TrialConfig
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.numerics import fast
from vae_trainables.training import session
from vae_trainables.training.session import Session
from vae_trainables.training.trial import Trial


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("epoch-*"))


def test_a_slots_checkpoint_goes_on_as_a_solo_trial(tmp_path: Path) -> None:
    chosen, other = varied(count=2)
    run_cohort({0: other, 1: chosen}, tmp_path, slots=2, epochs=1)
    trial = Trial(chosen, small_data())
    assert trial.resume(tmp_path / "1") == []
    assert trial.epoch == 1
    trial.run_epoch()
    assert_same_bits(trial, solo(chosen, epochs=2))


def test_a_solo_trials_checkpoint_goes_on_in_a_slot(tmp_path: Path) -> None:
    chosen = varied(count=3)[2].model_copy(update={"epochs": 3})
    solo(chosen, epochs=1).save(tmp_path / "trial")
    run = run_cohort({0: varied(epochs=3)[0]}, tmp_path, slots=2, epochs=1)
    told = run.cohort.admit(1, Assignment(chosen, tmp_path / "trial"))
    assert [(record.epoch, record.outcome) for record in told] == [(1, "running")]
    member = run.cohort.member(1)
    run.records[1] = []
    run.epochs(2)
    assert [record.epoch for record in run.records[1]] == [2, 3]
    assert run.records[1][-1].outcome == "finished"
    assert_same_bits(member, solo(chosen, epochs=3))


@pytest.mark.parametrize("from_cohort", [True, False])
def test_convolutional_checkpoints_go_both_ways(from_cohort: bool, tmp_path: Path) -> None:
    chosen = config("conv_vae", noise_factor=0.2, lr=3e-3)
    if from_cohort:
        run_cohort({0: chosen}, tmp_path, slots=1, epochs=1)
        trial = Trial(chosen, small_data())
        trial.resume(tmp_path / "0")
        found = trial.run_epoch()
    else:
        solo(chosen, epochs=1).save(tmp_path / "0")
        cohort = Cohort(chosen, small_data(), slots=1)
        cohort.admit(0, Assignment(chosen, tmp_path / "0"))
        ((_, record),) = cohort.run_epoch()
        found = record.metrics
    expected = solo(chosen, epochs=2).history[1]["metrics"]
    assert comparable(found) == pytest.approx(comparable(expected), rel=1e-4)


def test_a_session_repeats_what_a_cohort_had_checkpointed(tmp_path: Path) -> None:
    chosen = config(noise_factor=0.3)
    run = run_cohort({0: chosen}, tmp_path, slots=1, epochs=2)
    alone = Session(chosen, small_data(), tmp_path / "0", open_test=False)
    repeated = [alone.next_record() for _ in range(2)]
    bare = {"how": {}, "spent": {}}  # alone, and said so; what was spent is not spent again
    trained = [replace(record, **bare) for record in run.records[0]]  # type: ignore[arg-type]
    assert [replace(record, **bare) for record in repeated] == trained  # type: ignore[arg-type]


def test_admission_repeats_only_what_was_not_told(tmp_path: Path) -> None:
    chosen = config(epochs=4)
    solo(chosen, epochs=3).save(tmp_path)
    cohort = Cohort(chosen, small_data(), slots=1)
    told = cohort.admit(0, Assignment(chosen, tmp_path, told=2))
    assert [record.epoch for record in told] == [3]


def test_epochs_that_were_told_are_trained_again_in_silence(tmp_path: Path) -> None:
    chosen = config(epochs=4)
    solo(chosen, epochs=1).save(tmp_path)
    cohort = Cohort(chosen, small_data(), slots=1)
    assert cohort.admit(0, Assignment(chosen, tmp_path, told=3)) == []
    told = [[record.epoch for _, record in cohort.run_epoch()] for _ in range(3)]
    assert told == [[], [], [4]]


def test_a_trial_that_had_ended_says_so_again_and_takes_no_slot(tmp_path: Path) -> None:
    chosen = config()
    solo(chosen, epochs=2).save(tmp_path)
    cohort = Cohort(chosen, small_data(), slots=1)
    told = cohort.admit(0, Assignment(chosen, tmp_path, told=2))
    assert [(record.epoch, record.outcome) for record in told] == [(2, "finished")]
    assert cohort.vacant == [0]


def test_a_finished_trial_leaves_weights_that_are_its_own(tmp_path: Path) -> None:
    chosen = varied(count=2)[1].model_copy(update={"latent_dim": 12})
    run_cohort({0: varied()[0], 1: chosen}, tmp_path, slots=2, epochs=2)
    tensors, meta = checkpoint.read_tensors(tmp_path / "1" / session.WEIGHTS)
    assert meta["epoch"] == 2
    assert tensors["model/mean_head.weight"].shape == (12, 48)
    for name, value in solo(chosen, epochs=2).model.state_dict().items():
        torch.testing.assert_close(tensors[f"model/{name}"], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_last_epoch_of_a_confirmed_trial_opens_the_test_split(tmp_path: Path) -> None:
    chosen = config(epochs=1)
    cohort = Cohort(chosen, small_data(), slots=1)
    cohort.admit(0, Assignment(chosen, tmp_path / "a", open_test=True))
    ((_, record),) = cohort.run_epoch()
    alone = Session(chosen, small_data(), tmp_path / "b", open_test=True).next_record()
    assert record.outcome == alone.outcome == "finished"
    assert record.metrics["test/mse"] == alone.metrics["test/mse"]
    assert comparable(record.metrics) == comparable(alone.metrics)


def test_every_occupied_slot_tells_one_record_and_empty_ones_none(tmp_path: Path) -> None:
    run = run_cohort({0: config(), 2: config(seed=1)}, tmp_path, slots=3, epochs=0)
    assert [slot for slot, _ in run.cohort.run_epoch()] == [0, 2]
    run.cohort.release(0)
    assert [slot for slot, _ in run.cohort.run_epoch()] == [2]
    assert run.cohort.run_epoch() == []


def test_epochs_without_a_checkpoint_copy_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[int] = []
    store = Bank.store

    def counted(self: Bank, slot: int, *to: Any) -> None:
        copied.append(slot)
        store(self, slot, *to)

    monkeypatch.setattr(Bank, "store", counted)
    made = Cohort(config(epochs=4), small_data(), slots=2, save_every_s=1e9)
    run = Run(made, tmp_path)
    for slot in range(2):
        run.admit(slot, config(epochs=4, seed=slot))
    run.epochs(3)
    assert copied == []
    assert_same_bits(run.members[1], solo(config(epochs=4, seed=1), epochs=3))
    assert copied == [1]
    run.members[1].state()
    assert copied == [1]
    made.release(0)  # whoever looks afterwards does not see an empty row
    assert_same_bits(run.members[0], solo(config(epochs=4), epochs=3))
    run.epochs(1)
    assert copied == [1, 0, 1]


def test_a_members_epoch_cannot_be_taken_twice(tmp_path: Path) -> None:
    run = run_cohort({0: config(epochs=3)}, tmp_path, slots=1, epochs=1)
    with pytest.raises(RuntimeError, match=r"call Cohort\.run_epoch"):
        run.members[0].run_epoch()


def test_early_stopping_vacates_the_slot(tmp_path: Path) -> None:
    chosen = config(epochs=9, lr=0.1, patience=1)
    run = run_cohort({0: chosen, 1: config(epochs=9)}, tmp_path, slots=2, epochs=6)
    assert run.records[0][-1].outcome == "finished"
    assert len(run.records[0]) == len(solo_until_done(chosen).history) < 6
    assert run.cohort.vacant == [0]


def solo_until_done(chosen: TrialConfig) -> Trial:
    trial = Trial(chosen, small_data())
    while not trial.done:
        trial.run_epoch()
    return trial


def test_what_fails_in_one_trial_ends_that_trial_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extras(self: Evaluator, model: Any, chosen: TrialConfig) -> dict[str, float]:
        if chosen.seed == 1:
            raise RuntimeError("no extras today")
        return {"extra": 7.0}

    monkeypatch.setattr(Evaluator, "extras", extras)
    asking = [config(seed=seed, evaluations=("probe",)) for seed in range(2)]
    run = run_cohort(dict(enumerate(asking)), tmp_path, slots=2, epochs=1)
    (failed,) = run.records[1]
    assert (failed.outcome, failed.reason) == ("failed", "RuntimeError: no extras today")
    assert run.records[0][0].metrics["val/extra"] == 7.0
    assert run.cohort.vacant == [1]


def test_a_foreign_checkpoint_fails_the_trial_and_leaves_the_slot(tmp_path: Path) -> None:
    solo(config(lr=0.1), epochs=1).save(tmp_path)
    cohort = Cohort(config(), small_data(), slots=1)
    (record,) = cohort.admit(0, Assignment(config(), tmp_path))
    assert record.outcome == "failed"
    assert "another configuration" in record.reason
    assert cohort.vacant == [0]


def test_memory_running_out_in_the_common_step_is_raised_and_its_weights_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = config(epochs=3)
    cohort = Cohort(chosen, small_data(), slots=1, save_every_s=3600)
    cohort.admit(0, Assignment(chosen, tmp_path))
    cohort.run_epoch()

    def train(count: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(cohort, "_train", train)
    with pytest.raises(torch.OutOfMemoryError):
        cohort.run_epoch()
    cohort.disband()
    assert checkpoints(tmp_path) == []  # what a broken step has left is nothing to keep


def test_disbanded_trials_go_on_elsewhere_as_if_nothing_had_happened(tmp_path: Path) -> None:
    configs = dict(enumerate(c.model_copy(update={"epochs": 3}) for c in varied(count=3)))
    run = run_cohort(configs, tmp_path, slots=3, epochs=2)
    folders = [run.cohort._seats[slot].assignment.folder for slot in range(2)]
    run.cohort.disband()
    cohort = Cohort(configs[0], small_data(), slots=2)
    for slot, folder in enumerate(folders):
        assert cohort.admit(slot, Assignment(configs[slot], folder, told=2)) == []
    members = [cohort.member(slot) for slot in range(2)]
    cohort.run_epoch()
    for slot in range(2):
        assert_same_bits(members[slot], solo(configs[slot], epochs=3))


def test_checkpoints_may_be_spaced_but_the_last_is_always_written(tmp_path: Path) -> None:
    chosen = config(epochs=2)
    cohort = Cohort(chosen, small_data(), slots=1, save_every_s=3600)
    cohort.admit(0, Assignment(chosen, tmp_path))
    cohort.run_epoch()
    assert checkpoints(tmp_path) == []
    cohort.run_epoch()
    assert checkpoints(tmp_path) == ["epoch-0002.safetensors"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 32}, "batch_size: 32, not 64"),
        ({"supcon_gamma": 1.0}, "supcon: its step has none"),
        ({"width": 2.0}, "layer: 96, not at most 48"),
        ({"latent_dim": 17}, "latent_dim: 17, not at most 16"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    cohort = Cohort(config(), small_data(), slots=1)
    assert not cohort.accepts(config(**change))
    with pytest.raises(CohortError, match=message):
        cohort.admit(0, Assignment(config(**change), tmp_path))


@pytest.mark.parametrize("slot", [0, 2, -1])
def test_a_slot_that_is_not_vacant_is_refused(slot: int, tmp_path: Path) -> None:
    run = run_cohort({0: config()}, tmp_path, slots=2, epochs=0)
    with pytest.raises(CohortError, match=rf"slot {slot} is not vacant.*\[1\]"):
        run.cohort.admit(slot, Assignment(config(), tmp_path))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("mlp_vae", {"slots": 0}),
        ("res_conv_vae", {"slots": -1}),
    ],
)
def test_impossible_sizes_are_refused(kind: str, settings: dict[str, int]) -> None:
    with pytest.raises(CohortError, match=r"give|at least"):
        Cohort(config(kind), small_data(), **settings)


@pytest.mark.parametrize(
    "ways",
    [Ways(capture=True), Ways(capture=True, backend="counter", adam="flat")],
    ids=repr,
)
def test_a_cpu_cannot_capture(ways: Ways) -> None:
    with pytest.raises(ValueError, match="CUDA device"):
        Cohort(config(), small_data(), slots=1, ways=ways)


@pytest.mark.parametrize("able", [fast.Fast(None, "no compiler"), fast.Fast(math)])
def test_a_gpu_uses_the_kernels_that_it_can_run(
    able: fast.Fast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "on", lambda device: able)
    settled = Ways().settled(torch.device("cuda"), config(), frozenset())
    assert settled.kernels is (able.kernels is not None)
    assert Ways.plain().settled(torch.device("cuda"), config(), frozenset()).kernels is False


def test_a_gpu_captures_unless_the_noise_looks_at_values() -> None:
    cuda = torch.device("cuda")
    noisy = frozenset({"noise"})
    settled = Ways().settled(cuda, config(), noisy)
    assert (settled.adam, settled.backend, settled.capture) == ("flat", "counter", True)
    assert not Ways().settled(cuda, config(noise_kind="poisson"), noisy).capture
    assert Ways().settled(cuda, config(noise_kind="poisson"), frozenset()).capture
    with pytest.raises(ValueError, match="poisson"):
        Ways(capture=True).settled(cuda, config(noise_kind="poisson"), noisy)
    with pytest.raises(ValueError, match="per_slot"):
        Ways(capture=True, adam="per_slot").settled(cuda, config(), noisy)


def test_nothing_of_a_disbanded_cohort_keeps_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA graph's pool lives as long as any of its tensors: the next size needs the room."""
    before = alive()
    graphs: list[str] = []

    class Graph:
        def __init__(self, step: Any, device: torch.device) -> None:
            self.step = step

        def __call__(self, count: int = 1) -> None:
            self.step(count)

        def release(self) -> None:
            graphs.append("released")

    monkeypatch.setattr(cohort, "CapturedStep", Graph)
    made = Cohort(config(), small_data(), slots=3)
    made._train = Graph(made._train, made.device)  # type: ignore[assignment]
    made.prove()
    made.rehearse(2)
    assert alive() > before
    made.disband()
    assert (alive(), graphs) == (before, ["released"])


def alive() -> int:
    """Tensors of a cohort's shape that something refers to."""
    gc.collect()
    return sum(
        issubclass(type(thing), torch.Tensor) and thing.dim() > 0 and len(thing) == 3
        for thing in gc.get_objects()
    )


@pytest.mark.parametrize("repeatable", [True, False])
def test_the_process_keeps_its_own_convolutions(repeatable: bool, tmp_path: Path) -> None:
    assert not torch.backends.cudnn.deterministic
    ways = Ways(repeatable=repeatable)
    run = run_cohort({0: config("conv_vae", epochs=1)}, tmp_path, slots=1, epochs=0, ways=ways)
    seen: list[bool] = []
    train = run.cohort._train

    def watched(count: int) -> None:
        seen.append(torch.backends.cudnn.deterministic)
        train(count)

    run.cohort._train = watched
    run.epochs(1)
    assert set(seen) == {repeatable}
    assert not torch.backends.cudnn.deterministic
