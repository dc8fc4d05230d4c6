"""A space is tried before anything starts; which trials each phase gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from studies import generation_sweep, representation_sweep, vae_vs_ae
from studies.definition import StudyDefinition
from studies.denoise_sweep import STUDY
from studies.errors import InputError
from studies.ledger.ledger import Ledger, LedgerTrial
from studies.runner import planning
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings
from tests.studies.search.product import definitions
from vae_trainables.cohort import fusion_key


def misspelt(trial: optuna.Trial) -> dict[str, Any]:
    return {"latent_dims": trial.suggest_int("latent_dims", 4, 8)}


def impossible(trial: optuna.Trial) -> dict[str, Any]:
    return {"latent_dim": trial.suggest_int("latent_dim", -8, 16)}


def without_the_references_choice(trial: optuna.Trial) -> dict[str, Any]:
    return {"latent_dim": trial.suggest_categorical("latent_dim", [8, 32])}


def without_the_references_number(trial: optuna.Trial) -> dict[str, Any]:
    return {"lr": trial.suggest_float("lr", 1e-2, 1e-1)}


def contradictory(trial: optuna.Trial) -> dict[str, Any]:
    trial.suggest_int("width", 1, 4)
    return {"width": trial.suggest_float("width", 0.1, 4.0)}


@pytest.mark.filterwarnings("ignore:Fixed parameter")
@pytest.mark.parametrize(
    ("space", "message"),
    [
        (misspelt, "latent_dims = .*not permitted"),
        (impossible, "latent_dim = .*greater than or equal to 1"),
        (without_the_references_choice, "the space of the study denoise_sweep: .*16"),
        (without_the_references_number, "the reference's lr = 0.001 lies outside of it"),
        (contradictory, "the space of the study denoise_sweep: Cannot set different"),
    ],
)
def test_a_space_that_cannot_be_searched_is_bad_input(
    space: Callable[[optuna.Trial], dict[str, Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(replace(STUDY, space=space), Settings())


@pytest.mark.parametrize(
    ("study", "keys"),
    [
        (STUDY, 1),
        (representation_sweep.STUDY, 1),
        (generation_sweep.STUDY, 1),
        (vae_vs_ae.STUDY, 2),  # an autoencoder has no head for a variance
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_study_of_this_package_falls_into_few_cohorts(study: StudyDefinition, keys: int) -> None:
    suggested = planning.suggestions(make_plan(study, Settings()))
    assert len({fusion_key(config) for config in suggested}) == keys


@pytest.mark.parametrize(
    ("objective", "sampler", "stated"),
    [
        ("denoise", "TPESampler", {"multivariate": True, "group": False, "constant_liar": True}),
        (
            "denoise,probe",
            "TPESampler",
            {"multivariate": False, "group": False, "constant_liar": True},
        ),
        ("denoise", "NSGAIISampler", {"population_size": 50}),
    ],
)
def test_what_optuna_may_change_of_a_sampler_is_stated(
    objective: str, sampler: str, stated: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(optuna.samplers, sampler, lambda **options: given.update(options))
    name = {"TPESampler": "tpe", "NSGAIISampler": "nsga2"}[sampler]
    make_plan(STUDY, Settings(objective=objective, sampler=name, seed=7)).sampler()
    assert given == {"seed": 7, **stated}


def test_a_space_that_looks_at_its_study_is_searched() -> None:
    """What stands for a trial outside of a search has no study."""

    def space(trial: optuna.Trial) -> dict[str, Any]:
        return {"lr": trial.suggest_float("lr", 1e-4 if trial.study.directions else 1.0, 1e-2)}

    make_plan(replace(STUDY, space=space, other_spaces={}), Settings())


def test_an_unknown_objective_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="denoise, probe, elbo"):
        make_plan(STUDY, Settings(objective="beauty"))


def opened(folder: Path, plan: Plan) -> Ledger:
    ledger = Ledger(folder, plan.name)
    ledger.create(plan.goal, {})
    ledger.use_sampler(plan.sampler())
    return ledger


def finish(ledger: Ledger, trial: LedgerTrial, value: float) -> None:
    ledger.start(trial)
    ledger.end(trial, "finished", values=[value], reason="")


def drawn(source: Callable[[], LedgerTrial | None]) -> list[LedgerTrial]:
    return list(iter(source, None))


def test_the_best_and_the_reference_are_confirmed_once_on_the_same_fresh_seeds(
    tmp_path: Path,
) -> None:
    plan = make_plan(STUDY, Settings(trials=4, epochs=2, confirm_top=2, confirm_seeds=3))
    ledger = opened(tmp_path, plan)
    for trial, value in zip(
        drawn(planning.search_source(plan, ledger)), (0.3, 0.4, 0.1, 0.2), strict=True
    ):
        finish(ledger, trial, value)
    assert [t.key for t in planning.ranking(plan, ledger)] == ["0002", "0003", "0000", "0001"]
    wanted = planning.confirmation_runs(plan, ledger)
    confirmed = drawn(planning.fixed_source(ledger, "confirm", wanted))
    assert [t.like for t in confirmed] == ["0000", "0002", "0003"] * 3
    assert [t.reference for t in confirmed] == [True, False, False] * 3
    seeds = [t.config.seed for t in confirmed]
    assert seeds == sorted(seeds)
    assert len(set(seeds)) == 3
    assert not set(seeds) & {t.config.seed for t in ledger.trials.values() if t.phase == "search"}
    assert drawn(planning.fixed_source(ledger, "confirm", wanted)) == [], "each once"


def test_members_of_the_front_are_confirmed_not_the_best_by_the_first_objective(
    tmp_path: Path,
) -> None:
    settings = Settings(trials=6, epochs=2, confirm_top=3, objective="denoise,probe")
    plan = make_plan(STUDY, settings)
    assert [o.direction for o in plan.objectives] == ["minimize", "maximize"]
    ledger = opened(tmp_path, plan)
    scores = [(0.1, 0.5), (0.2, 0.4), (0.3, 0.7), (0.4, 0.8), (0.5, 0.9), (0.11, 0.5)]
    for trial, values in zip(drawn(planning.search_source(plan, ledger)), scores, strict=True):
        ledger.start(trial)
        ledger.end(trial, "finished", values=list(values), reason="")
    assert [t.key for t in planning.ranking(plan, ledger)][:3] == ["0000", "0005", "0001"]
    assert [t.key for t in planning.to_confirm(plan, ledger)] == ["0000", "0003", "0004"]
    wider = make_plan(STUDY, replace(settings, confirm_top=5))
    assert [t.key for t in planning.to_confirm(wider, ledger)] == ["0000", "0002", "0003", "0004"]


def test_a_finished_configuration_gets_its_other_seeds_and_is_ranked_by_their_mean(
    tmp_path: Path,
) -> None:
    plan = make_plan(STUDY, Settings(trials=2, epochs=2, seeds=2))
    ledger = opened(tmp_path, plan)
    source = planning.search_source(plan, ledger)
    values = iter((0.1, 0.9, 0.3, 0.4))
    order = []
    while (trial := source()) is not None:
        order.append((trial.like, trial.config.seed))
        finish(ledger, trial, next(values))
    assert order == [("", 0), ("0000", 1), ("", 0), ("0002", 1)]
    assert [t.key for t in planning.ranking(plan, ledger)] == ["0002", "0000"]


def test_reference_runs_are_the_reference_and_its_companions_on_each_seed() -> None:
    plan = make_plan(STUDY, Settings(reference=True, seeds=2))
    runs = planning.reference_runs(plan)
    assert [(c.seed, c.objective.supcon_gamma, is_reference) for c, _, is_reference in runs] == [
        (0, 1.0, True), (0, 30.0, False), (1, 1.0, True), (1, 30.0, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "space"), [(k, name) for k, study in definitions().items() for name in study.spaces]
)
def test_every_suggestion_of_every_study_is_found_again_in_its_configuration(
    kind: str, space: str
) -> None:
    plan = make_plan(definitions()[kind], Settings(space=space))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        config = plan.configure(trial)
        assert plan.express(config, trial.params) == (trial.params, trial.distributions)
        moved = config.model_copy(update={"epochs": config.budget.epochs + 1})
        assert plan.express(moved, trial.params) is None, "its figures are of another training"


def test_a_search_watches_its_objective_a_reference_run_what_the_reference_says() -> None:
    def watched(definition: StudyDefinition, **settings: Any) -> tuple[str, str]:
        reference = make_plan(definition, Settings(**settings)).reference
        return reference.budget.watch, reference.budget.watch_direction

    assert watched(STUDY) == ("val/mse", "minimize")
    assert watched(STUDY, objective="probe,elbo") == ("val/probe", "maximize")
    assert watched(STUDY, reference=True) == ("val/neg_elbo", "minimize")
    stated = STUDY.reference.model_copy(update={"watch": "val/recon"})
    assert watched(replace(STUDY, reference=stated)) == ("val/recon", "minimize")


@pytest.mark.parametrize(
    "flags", [{"binarise": "dynamic"}, {"set": ("binarise=dynamic",)}], ids=["flag", "set"]
)
def test_the_form_of_the_images_can_be_given_as_a_flag_or_pinned(flags: dict[str, Any]) -> None:
    plan = make_plan(vae_vs_ae.STUDY, Settings(**flags))
    grey = make_plan(vae_vs_ae.STUDY, Settings())
    assert {c.data.binarise for c in planning.suggestions(plan)} == {"dynamic"}
    assert plan.fingerprint()["fixed"] == grey.fingerprint()["fixed"] | {"binarise": "dynamic"}
    assert "binarise" not in grey.fingerprint()["fixed"]  # as before there was such a setting


def test_a_flag_and_a_pin_that_contradict_each_other_are_refused() -> None:
    agreed = Settings(binarise="static", set=("binarise=static",))
    assert make_plan(vae_vs_ae.STUDY, agreed).reference.data.binarise == "static"
    with pytest.raises(InputError, match="--binarise and --set binarise= contradict"):
        make_plan(vae_vs_ae.STUDY, Settings(binarise="static", set=("binarise=none",)))
