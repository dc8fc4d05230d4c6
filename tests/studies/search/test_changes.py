"""`--resume --allow-changed`: every kind of change goes on, and says what the sampler forgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from studies.definition import Objective, StudyDefinition
from studies.errors import InputError
from studies.ledger.journal import Journal
from studies.ledger.layout import CREATED
from studies.ledger.ledger import Ledger
from studies.runner import planning, resuming
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings
from studies.vae_vs_ae import REFERENCE, STUDY
from tests.studies.search.simulated import Simulation, check_counts, facts

Space = Callable[[optuna.Trial], dict[str, Any]]
FIRST, ALL = 12, 30  # trials before the change, and in all
MSE = Objective("val/mse", "minimize")
BETA, SIZES = (0.05, 8.0), (2, 5, 10, 20, 40)


def space(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "latent_dim": trial.suggest_categorical("latent_dim", SIZES),
        "beta": trial.suggest_float("beta", *BETA, log=True),
        "epochs": trial.suggest_int("epochs", 3, 5),
    }


def differing(**suggest: Callable[[optuna.Trial], Any] | None) -> Space:
    """The space above with other suggestions; None removes one."""

    def changed(trial: optuna.Trial) -> dict[str, Any]:
        before = {
            "latent_dim": lambda t: t.suggest_categorical("latent_dim", SIZES),
            "beta": lambda t: t.suggest_float("beta", *BETA, log=True),
            "epochs": lambda t: t.suggest_int("epochs", 3, 5),
        }
        fields = before | suggest
        return {name: draw(trial) for name, draw in fields.items() if draw is not None}

    return changed


SPACES: dict[str, tuple[Space, bool]] = {  # and whether all that was tried still lies within
    "a choice more": (
        differing(latent_dim=lambda t: t.suggest_categorical("latent_dim", [*SIZES, 64])),
        True,
    ),
    "choices in another order": (
        differing(latent_dim=lambda t: t.suggest_categorical("latent_dim", SIZES[::-1])),
        True,
    ),
    "a choice less": (
        differing(latent_dim=lambda t: t.suggest_categorical("latent_dim", [10, 20, 40])),
        False,
    ),
    "choices that became a range": (
        differing(latent_dim=lambda t: t.suggest_int("latent_dim", 2, 40)),
        True,
    ),
    "a wider range": (differing(beta=lambda t: t.suggest_float("beta", 0.01, 16, log=True)), True),
    "a narrower range": (
        differing(beta=lambda t: t.suggest_float("beta", 0.5, 2, log=True)),
        False,
    ),
    "a linear scale": (differing(beta=lambda t: t.suggest_float("beta", *BETA)), True),
    "a range that became choices": (
        differing(beta=lambda t: t.suggest_categorical("beta", [0.1, 1.0, 4.0])),
        False,
    ),
    "whole numbers that became any": (
        differing(epochs=lambda t: int(t.suggest_float("epochs", 3, 5))),
        True,
    ),
    "a parameter more": (differing(lr=lambda t: t.suggest_float("lr", 1e-4, 1e-2)), True),
    "a parameter less": (differing(beta=None), False),
}
GOALS: dict[str, tuple[dict[str, Any], str]] = {
    "another metric": ({}, "recon"),
    "one more": ({}, "mse,elbo"),
    "one less": ({}, "elbo"),
    "another direction": (
        {"objectives": {**STUDY.objectives, "mse": Objective("val/mse", "maximize")}},
        "mse",
    ),
    "another pruning metric": ({"prune_on": Objective("val/neg_elbo", "minimize")}, "mse"),
    "another direction of pruning": ({"prune_on": Objective("val/mse", "maximize")}, "mse"),
}
UNDER = replace(STUDY, space=space, reference=REFERENCE.model_copy(update={"epochs": 4}))


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "commit", lambda _: None)


def settings(objective: str, trials: int) -> Settings:
    return Settings(trials=trials, objective=objective, allow_changed=True)


def before(folder: Path, objective: str = "mse") -> Simulation:
    """A study to go on with, some of whose trials are pruned, failed, or repeated."""
    first = Simulation(UNDER, settings(objective, FIRST), folder)
    first.run()
    return first


def after(folder: Path, definition: StudyDefinition, objective: str) -> Simulation:
    """The same study with a change, to its end; the driver is killed in it as well."""
    later = Simulation(definition, settings(objective, ALL), folder, check_resumed=False)
    later.ledger = later.run()
    check_counts(later, later.ledger, grown=True)
    return later


@pytest.mark.parametrize("change", SPACES)
def test_a_changed_space_goes_on(tmp_path: Path, change: str) -> None:
    first = before(tmp_path / "s")
    kept = {key: trial.values for key, trial in reading(first, tmp_path / "s").trials.items()}
    changed, whole = SPACES[change]
    later = after(tmp_path / "s", replace(UNDER, space=changed), "mse")
    trials = list(later.ledger.trials.values())
    assert {t.key: t.values for t in trials[:FIRST]} == kept, "results stay what they were"
    outside = [t.key for t in trials if t.outside]
    assert whole != bool(outside), outside
    assert set(outside) <= set(kept)
    assert any("the search space changed" in said for said in later.said)
    lost = any(t.outside and t.values is not None for t in trials)
    assert lost == any("does not learn from them" in said for said in later.said)
    looks = later.ledger.shown()
    assert all(looks[int(key)].state == TrialState.FAIL for key in outside)
    names = {name for t in trials[FIRST:] for name in looks[t.number].params}
    shown = (t for t in trials if not t.outside and looks[t.number].state == TrialState.COMPLETE)
    assert all(looks[t.number].params.keys() == names for t in shown)


def reading(simulation: Simulation, folder: Path) -> Ledger:
    """What lies in a closed ledger."""
    with resuming.open_ledger(simulation.resumed, folder, facts(simulation.plan)) as (ledger, _):
        return ledger


@pytest.mark.parametrize("change", GOALS)
@pytest.mark.parametrize("start", ["mse", "elbo,mse"])
def test_a_changed_goal_goes_on(tmp_path: Path, start: str, change: str) -> None:
    before(tmp_path / "s", start)
    fields, objective = GOALS[change]
    definition = replace(UNDER, **fields)
    later = after(tmp_path / "s", definition, objective)
    names = [o.metric for o in later.plan.objectives]
    for trial in later.ledger.trials.values():
        if trial.status == "finished":
            assert trial.values == [trial.last[name] for name in names], "of the present objectives"
    assert planning.ranking(later.plan, later.ledger)
    assert later.said or objective == start


def test_an_objective_that_was_not_measured_leaves_results_out(tmp_path: Path) -> None:
    first = Simulation(UNDER, settings("mse", FIRST), tmp_path / "s", values=without_elbo)
    first.run()
    later = after(tmp_path / "s", UNDER, "mse,elbo")
    values = [trial.values for trial in later.ledger.trials.values()]
    assert not any(values[:FIRST])
    assert any(values[FIRST:])
    assert any("an objective was not measured" in said for said in later.said)


def without_elbo(config: Any, epoch: int) -> dict[str, float]:
    return {"val/mse": 9 / epoch, "val/recon": 9 / epoch}  # worse than any that follows


def test_without_the_flag_a_change_is_one_line(tmp_path: Path) -> None:
    before(tmp_path / "s")
    plan = make_plan(UNDER, Settings(trials=ALL, objective="mse,elbo", resume=True))
    with (
        pytest.raises(InputError, match=r"the objectives .*--allow-changed"),
        resuming.open_ledger(plan, tmp_path / "s", facts(plan)),
    ):
        pass


def test_a_ledger_of_the_first_layout_teaches_no_other_metric(tmp_path: Path) -> None:
    """Its intermediate values are the pruning metric's; here that is not what is optimised."""
    plan = make_plan(UNDER, Settings(trials=ALL, objective="elbo", resume=True))
    first_layout(tmp_path, plan, [("PRUNED", 0.9, None), ("COMPLETE", 0.1, 5.0)])
    with resuming.open_ledger(plan, tmp_path, facts(plan)) as (ledger, _):
        ledger.use_sampler(plan.sampler())
        assert [t.curve("val/mse") for t in ledger.trials.values()] == [{1: 0.9}, {1: 0.1}]
        pruned, complete = ledger.shown()
        assert (pruned.state, pruned.intermediate_values) == (TrialState.RUNNING, {})
        assert (complete.state, complete.values) == (TrialState.COMPLETE, [5.0])


def first_layout(folder: Path, plan: Plan, trials: list[tuple[str, float, float | None]]) -> None:
    """A ledger as version 1 left it behind: values where Optuna has them."""
    journal = Journal(folder / "ledger.journal")
    storage = optuna.storages.JournalStorage(journal)
    for phase in ("", " [confirm]", " [reference]"):
        study = optuna.create_study(storage=storage, study_name=plan.name + phase)
        for name, value in facts(plan).items():
            study.set_user_attr(name, value)
        if phase:
            continue
        for state, mse, value in trials:
            trial = study.ask()
            config = plan.configure(trial)
            trial.set_user_attr("config", config.model_dump(mode="json"))
            trial.set_user_attr("status", "pruned" if state == "PRUNED" else "finished")
            storage.set_trial_intermediate_value(trial._trial_id, 1, mse)
            values = [mse if value is None else value]
            storage.set_trial_state_values(trial._trial_id, TrialState[state], values)
        storage.set_study_system_attr(study._study_id, CREATED, True)
    journal.close()


def test_a_change_that_is_cut_off_after_any_byte_goes_on(tmp_path: Path) -> None:
    """The next edition counts once it is whole; until then the one before does."""
    first = before(tmp_path / "s")
    journal = tmp_path / "s" / "ledger.journal"
    size = journal.stat().st_size
    plan = make_plan(UNDER, Settings(**vars(settings("mse,elbo", ALL)) | {"resume": True}))
    with resuming.open_ledger(plan, tmp_path / "s", facts(plan)) as (ledger, _):
        whole = {key: trial.status for key, trial in ledger.trials.items()}
    content = journal.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n") and i >= size]
    assert first.plan.name in content.decode()
    for cut in [*ends, *(end - 2 for end in ends[::5])]:
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / "ledger.journal").write_bytes(content[:cut])
        with resuming.open_ledger(plan, folder, facts(plan)) as (ledger, _):
            assert {key: trial.status for key, trial in ledger.trials.items()} == whole
            ledger.use_sampler(plan.sampler())
            assert ledger.ask(plan.configure, plan.reference).number == len(whole)
