from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from studies.definition import Goal, Objective
from studies.ledger.journal import LedgerError
from studies.ledger.ledger import OPTUNA_STATE, Ledger, Status, study_folder
from vae_trainables.config import TrialConfig

REFERENCE = TrialConfig(epochs=3)
MSE = Objective("val/mse", "minimize")
GOAL = Goal((MSE,), MSE)


def configure(trial: optuna.Trial) -> TrialConfig:
    return TrialConfig(epochs=3, lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True))


def coarse(trial: optuna.Trial) -> TrialConfig:
    return TrialConfig(epochs=3, latent_dim=trial.suggest_categorical("latent_dim", [8, 16]))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path, "a study")
    ledger.create(GOAL, {"data": "abc"})
    ledger.use_sampler(optuna.samplers.RandomSampler(seed=0))
    return ledger


def reopened(ledger: Ledger) -> Ledger:
    ledger.close()
    again = Ledger(ledger.folder, ledger.name)
    again.pursue(GOAL, None)
    again.use_sampler(optuna.samplers.RandomSampler(seed=1))
    return again


def optuna_states(ledger: Ledger) -> list[TrialState]:
    return [t.state for t in ledger._layout.frozen("search")]


@pytest.mark.parametrize("status", [s for s in OPTUNA_STATE if s not in ("planned", "running")])
def test_every_status_survives_and_is_the_same_in_optuna(ledger: Ledger, status: Status) -> None:
    trial = ledger.ask(configure, REFERENCE)
    ledger.start(trial)
    ledger.report(trial, 1, {"val/mse": 0.5})
    ledger.end(trial, status, values=[0.25] if status == "finished" else None, reason="why")
    assert list(ledger.open) == (["0000"] if status == "interrupted" else [])
    again = reopened(ledger).trials["0000"]
    assert again.status == status
    assert again.reason == "why"
    assert again.curve("val/mse") == {1: 0.5}
    assert again.config == trial.config
    assert again.values == ([0.25] if status == "finished" else None)


def test_a_pruned_trial_reaches_the_sampler_as_pruned_at_its_epoch(ledger: Ledger) -> None:
    trial = ledger.ask(configure, REFERENCE)
    ledger.start(trial)
    for epoch, value in ((1, 0.5), (2, 0.4)):
        ledger.report(trial, epoch, {"val/mse": value})
    ledger.end(trial, "pruned", values=None, reason="")
    (frozen,) = ledger.shown()
    assert (frozen.state, frozen.intermediate_values) == (TrialState.PRUNED, {1: 0.5, 2: 0.4})
    (recorded,) = ledger._layout.frozen("search")
    assert (recorded.state, recorded.last_step) == (TrialState.PRUNED, 2)


def test_what_ran_when_the_driver_died_is_interrupted_and_begins_again(ledger: Ledger) -> None:
    trial = ledger.ask(configure, REFERENCE)
    ledger.start(trial)
    ledger.report(trial, 1, {"val/mse": 0.5})
    ledger = reopened(ledger)
    trial = ledger.trials["0000"]
    assert trial.status == "interrupted"
    assert optuna_states(ledger) == [TrialState.WAITING]
    ledger.start(trial)
    assert trial.attempt == 2
    assert optuna_states(ledger) == [TrialState.RUNNING]
    ledger.report(trial, 1, {"val/mse": 99.0})
    assert trial.curve("val/mse") == {1: 0.5}, "an epoch that was reported stays as it was"
    ledger.report(trial, 2, {"val/mse": 0.4})
    ledger.end(trial, "finished", values=[0.4], reason="")
    assert reopened(ledger).trials["0000"].curve("val/mse") == {1: 0.5, 2: 0.4}


def test_what_was_planned_but_not_begun_stays_planned_with_its_configuration(
    ledger: Ledger,
) -> None:
    planned = ledger.ask(configure, REFERENCE).config
    ledger = reopened(ledger)
    assert [t.config for t in ledger.open.values()] == [planned]
    assert ledger.suggested == 1


def test_a_trial_that_has_ended_stays_as_it_ended(ledger: Ledger) -> None:
    trial = ledger.ask(configure, REFERENCE)
    ledger.start(trial)
    ledger.end(trial, "diverged", values=None, reason="NaN")
    ledger.end(trial, "finished", values=[0.0], reason="")
    assert reopened(ledger).trials["0000"].status == "diverged"


def test_an_exact_repeat_becomes_another_seed(ledger: Ledger) -> None:
    trials = [ledger.ask(coarse, REFERENCE) for _ in range(12)]
    seen = {(t.group, t.config.seed) for t in trials}
    assert len(seen) == 12
    assert len({t.group for t in trials}) == 2
    by_group = {
        t.group: sorted(u.config.seed for u in trials if u.group == t.group) for t in trials
    }
    assert all(seeds == list(range(len(seeds))) for seeds in by_group.values())


def test_repeats_are_still_known_after_a_restart(ledger: Ledger) -> None:
    first = [ledger.ask(coarse, REFERENCE) for _ in range(6)]
    ledger = reopened(ledger)
    second = [ledger.ask(coarse, REFERENCE) for _ in range(6)]
    assert len({(t.group, t.config.seed) for t in first + second}) == 12


def test_the_reference_is_marked_when_it_is_suggested(ledger: Ledger) -> None:
    ledger.enqueue({"latent_dim": REFERENCE.model.latent_dim})
    assert ledger.ask(coarse, REFERENCE).reference
    assert not ledger.ask(configure, REFERENCE).reference


def test_no_other_configuration_is_marked_as_the_reference(ledger: Ledger) -> None:
    """Several: of two fingerprints one is the greater."""
    assert not any(ledger.ask(configure, REFERENCE).reference for _ in range(8))


def test_only_the_samplers_suggestions_count_as_suggested(ledger: Ledger) -> None:
    first = ledger.ask(configure, REFERENCE)
    again = ledger.plan("search", first.config, like=first, reference=False)
    confirmed = ledger.plan("confirm", first.config, like=first, reference=False)
    ledger.plan("reference", REFERENCE, like=None, reference=True)
    ledger.plan("confirm", REFERENCE, like=None, reference=True)
    assert ledger.suggested == 1
    assert [t.extra_seed for t in (first, again, confirmed)] == [False, True, False]
    assert reopened(ledger).suggested == 1


def test_asking_that_fails_leaves_no_trial(ledger: Ledger) -> None:
    def broken(trial: optuna.Trial) -> TrialConfig:
        trial.suggest_float("x", 0, 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.ask(broken, REFERENCE)
    ledger = reopened(ledger)
    assert not ledger.trials
    assert optuna_states(ledger) == [TrialState.FAIL], "what was half asked is nobody's work"
    assert ledger.ask(configure, REFERENCE).number == 1


def test_phases_do_not_mix_and_lend_parameters(ledger: Ledger) -> None:
    first = ledger.ask(configure, REFERENCE)
    ledger.start(first)
    ledger.end(first, "finished", values=[1.0], reason="")
    config = first.config.model_copy(update={"seed": 7})
    ledger.plan("confirm", config, like=first, reference=False)
    ledger = reopened(ledger)
    assert list(ledger.trials) == ["0000", "confirm-0000"]
    confirm = ledger.trials["confirm-0000"]
    assert (confirm.like, confirm.config.seed, confirm.status) == ("0000", 7, "planned")
    assert len(optuna_states(ledger)) == 1, "the sampler must not learn from confirmation"
    assert ledger.suggested == 1


LONG = "x" * 240
NAMES = (
    *(
        "a b",
        "a/b",
        "a_b",
        "..",
        ".",
        "...",
        "../..",
        ".hidden",
        "hidden",
        "artifacts",
        "Artifacts",
    ),
    *("mlflow.db", "mlflow.db-wal", "mlflow.db.lock", f"{LONG}1", f"{LONG}2", "ü" * 200, "A", "é"),
)


def test_every_name_has_a_folder_of_its_own_in_the_storage(tmp_path: Path) -> None:
    """And none is what else lies there, or has a name that a file system refuses."""
    folders = [study_folder(tmp_path, name) for name in NAMES]
    assert len({folder.name.lower() for folder in folders}) == len(NAMES)
    for folder in folders:
        assert folder.parent == tmp_path
        assert not folder.name.lower().startswith((".", "artifacts-x", "mlflow.db.lock."))
        assert folder.name.lower() not in ("artifacts", "mlflow.db", "mlflow.db-wal")
        folder.mkdir()


def test_a_plain_name_is_its_folders_name_and_letters_are_kept(tmp_path: Path) -> None:
    for name in ("denoise_sweep", "Gürültü", "v1.2-b"):
        assert study_folder(tmp_path, name).name == name
    assert study_folder(tmp_path, "gürültü giderme").name.startswith("gürültü_giderme-")


def test_a_folder_from_before_there_was_a_hash_is_still_the_studys(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a_b", "a b")
    ledger.create(GOAL, {})
    ledger.close()
    assert study_folder(tmp_path, "a b").name == "a_b"
    assert study_folder(tmp_path, "a/b").name != "a_b"
    with pytest.raises(LedgerError, match="holds the study 'a b'"):
        Ledger(tmp_path / "a_b", "a_b")
    Ledger(tmp_path / "a_b", "a b").close()  # what was refused holds no lock


def test_an_unwritable_folder_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(LedgerError, match="cannot write the ledger"):
        Ledger(blocked / "study", "x")


def test_what_waits_for_a_worker_is_not_suggested_anew(ledger: Ledger) -> None:
    """Optuna's `ask` takes waiting trials for enqueued suggestions and would begin them again."""
    lost = ledger.ask(configure, REFERENCE)
    ledger.start(lost)
    ledger.report(lost, 1, {"val/mse": 0.5})
    ledger.end(lost, "interrupted", values=None, reason="the worker process died")
    seed = ledger.plan("search", REFERENCE, like=lost, reference=False)
    assert ledger.ask(configure, REFERENCE).key == "0002"
    ledger = reopened(ledger)
    assert ledger.ask(configure, REFERENCE).key == "0003"
    ledger.enqueue({"lr": 2e-3})  # while a suggestion that somebody enqueued is still taken
    assert ledger.ask(configure, REFERENCE).config.optimiser.lr == 2e-3
    assert (lost.attempt, lost.curve("val/mse")) == (1, {1: 0.5})
    assert ledger.trials[seed.key].status == "planned"
    assert ledger.suggested == 4


def test_a_configuration_of_another_version_is_one_clear_line(ledger: Ledger) -> None:
    trial = ledger.ask(configure, REFERENCE)
    ledger._attr(trial, "config", {"kind": "unheard of"})
    with pytest.raises(LedgerError, match="a configuration of another version of this program"):
        reopened(ledger)


def test_facts_are_kept(ledger: Ledger) -> None:
    ledger.set_facts({"code": "1"})
    assert reopened(ledger).facts() == {"data": "abc", "code": "1"}


def test_a_ledger_that_ends_after_any_byte_opens_and_goes_on(tmp_path: Path) -> None:
    """A driver can be killed at any line, and the kernel may write a part of its last lines."""
    whole = Ledger(tmp_path / "whole", "s")
    whole.create(GOAL, {"data": "abc"})
    whole.use_sampler(optuna.samplers.RandomSampler(seed=0))
    for status in ("finished", "failed", "interrupted"):
        trial = whole.ask(configure, REFERENCE)
        whole.start(trial)
        whole.report(trial, 1, {"val/mse": 0.5})
        whole.end(trial, status, values=[0.5] if status == "finished" else None, reason="")
    whole.close()
    content = whole.journal.path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for cut in [0, *ends, *(end - 2 for end in ends)]:
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / "ledger.journal").write_bytes(content[:cut])
        _goes_on(Ledger(folder, "s"))


def _goes_on(ledger: Ledger) -> None:
    if ledger.exists:
        ledger.pursue(GOAL, None)
    else:
        ledger.create(GOAL, {"data": "abc"})
    ledger.use_sampler(optuna.samplers.RandomSampler(seed=1))
    assert ledger.facts() == {"data": "abc"}
    for trial in list(ledger.open.values()):
        assert trial.status in ("planned", "interrupted")
        ledger.start(trial)
        ledger.end(trial, "finished", values=[0.1], reason="")
    ledger.ask(configure, REFERENCE)
    ledger = reopened(ledger)
    assert [t.status for t in ledger.trials.values()].count("planned") == 1
    whole = {"planned", "finished", "failed"}
    assert {t.status for t in ledger.trials.values()} <= whole
    ledger.close()
