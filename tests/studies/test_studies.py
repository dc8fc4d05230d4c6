"""Study files are data: the reference is reachable, the space valid, the command there."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from studies.definition import StudyDefinition
from studies.runner import planning
from studies.runner.planning import Plan, make_plan, reference_runs
from studies.runner.settings import Settings, with_preset
from vae_trainables import models
from vae_trainables.cohort import fusion_key

ROOT = Path(__file__).parent.parent.parent
NAMES = (
    "denoise_sweep",
    "vae_vs_ae",
    "representation_sweep",
    "generation_sweep",
    "small_denoisers",
    "published_vae",
)


@pytest.fixture(params=NAMES)
def definition(request: pytest.FixtureRequest) -> StudyDefinition:
    found: StudyDefinition = importlib.import_module(f"studies.{request.param}").STUDY
    assert found.kind == request.param
    return found


SPACES = [
    (name, space)
    for name in NAMES
    for space in importlib.import_module(f"studies.{name}").STUDY.spaces
]


@pytest.fixture(params=SPACES, ids=lambda value: f"{value[0]} {value[1]}")
def in_a_space(request: pytest.FixtureRequest) -> tuple[StudyDefinition, str]:
    name, space = request.param
    definition: StudyDefinition = importlib.import_module(f"studies.{name}").STUDY
    return definition.searching(space), space


def test_the_four_reference_studies_have_a_wide_space() -> None:
    assert {name for name, space in SPACES if space == "wide"} == set(NAMES) - {"small_denoisers"}


def test_every_study_file_is_tested_here() -> None:
    texts = {path.stem: path.read_text() for path in (ROOT / "studies").glob("*.py")}
    assert {name for name, text in texts.items() if "\nSTUDY = " in text} == set(NAMES)


def test_the_first_trial_is_exactly_the_reference(
    in_a_space: tuple[StudyDefinition, str],
) -> None:
    definition, space = in_a_space
    plan = make_plan(definition, Settings(space=space))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(definition.reference_params())
    assert plan.configure(study.ask()) == plan.reference


@pytest.mark.filterwarnings("error")
def test_the_reference_lies_inside_the_space(in_a_space: tuple[StudyDefinition, str]) -> None:
    """Optuna only warns about an enqueued value outside its distribution, and uses it."""
    definition, _ = in_a_space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(definition.reference_params())
    trial = study.ask()
    definition.space(trial)
    for name, distribution in trial.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(trial.params[name])), name


def test_its_configurations_fall_into_few_fusion_keys(definition: StudyDefinition) -> None:
    suggestions = planning.suggestions(make_plan(definition, Settings()))
    keys = {fusion_key(config) for config in suggestions}
    by_kind_and_batch_size = {"vae_vs_ae": 2, "small_denoisers": 5, "published_vae": 3}
    assert len(keys) == by_kind_and_batch_size.get(definition.kind, 1)


def test_whatever_the_space_suggests_can_be_built(
    in_a_space: tuple[StudyDefinition, str],
) -> None:
    definition, space = in_a_space
    plan = make_plan(definition, Settings(space=space))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = [plan.configure(study.ask()) for _ in range(200)]
    assert len({config.fingerprint() for config in configs}) > 100
    for config in configs[:20]:
        models.build(config.model)


def test_every_objective_can_be_asked_for(definition: StudyDefinition) -> None:
    for name, objective in definition.objectives.items():
        plan = make_plan(definition, Settings(objective=name))
        assert plan.objectives == [objective]
        if objective.evaluation:
            assert objective.evaluation in plan.reference.evaluation.extras


def test_help_of_every_study_tells_its_title(definition: StudyDefinition) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"studies.{definition.kind}", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200", "TERM": "dumb"},
        check=True,
    )
    assert definition.title in done.stdout
    assert "--reference" in done.stdout


def test_reference_runs_train_exactly_the_reference(definition: StudyDefinition) -> None:
    """The search's default of fewer epochs must not reach them."""
    settings = with_preset(vars(Settings(reference=True)))
    (config, _, is_reference), *_ = reference_runs(make_plan(definition, settings))
    assert is_reference
    asked = {"evaluations"}  # of the objective; they change no weight
    assert config.flat(without=asked) == definition.reference.flat(without=asked)


def test_reference_runs_can_be_cut_short(definition: StudyDefinition) -> None:
    settings = with_preset(vars(Settings(reference=True, epochs=2)))
    assert make_plan(definition, settings).reference.budget.epochs == 2


def test_vae_against_ae_trains_both_on_the_same_seeds() -> None:
    plan = _plan("vae_vs_ae", Settings(reference=True, seeds=2, train_size=100))
    runs = reference_runs(plan)
    assert [(c.model.kind, c.seed, main) for c, _, main in runs] == [
        ("mlp_vae", 0, True),
        ("mlp_ae", 0, False),
        ("mlp_vae", 1, True),
        ("mlp_ae", 1, False),
    ]
    first, second = runs[0][0], runs[1][0]
    assert second == first.model_copy(update={"kind": "mlp_ae"})  # flags reach both
    assert first.data.train_size == 100


def test_an_autoencoder_is_suggested_no_beta() -> None:
    """β of a trial without a KL would look like a searched parameter that has no effect."""
    plan = _plan("vae_vs_ae", Settings())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(40)]
    configs = [plan.configure(trial) for trial in trials]
    for trial, config in zip(trials, configs, strict=True):
        assert ("beta" in trial.params) == config.model.variational


def test_supcon_can_be_absent_or_strong_in_the_representation_sweep() -> None:
    plan = _plan("representation_sweep", Settings())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    gammas = [plan.configure(study.ask()).objective.supcon_gamma for _ in range(100)]
    assert 0.0 in gammas
    assert max(gammas) > 100


BEST_KNOWN = {
    "kind": "res_conv_vae", "latent_dim": 64, "width": 1.0, "blocks": 2, "noise_factor": 0.45,
    "recon_term": "nll", "ssim_weight": 0.0, "likelihood": "bernoulli", "beta": 1e-3,
    "beta_schedule": "constant", "supcon": False, "lr": 1e-3, "lr_schedule": "cosine",
    "batch_size": 128,
}  # fmt: skip
"""Of denoising so far: a residual model with a large latent."""


@pytest.mark.filterwarnings("error")
def test_the_wide_space_of_denoising_holds_the_best_model_known() -> None:
    plan = _plan("denoise_sweep", Settings(space="wide"))
    trial = optuna.trial.FixedTrial(BEST_KNOWN)  # warns of a value outside
    config = plan.configure(trial)  # type: ignore[arg-type]
    assert set(trial.params) == set(BEST_KNOWN)
    assert (config.model.kind, config.model.latent_dim) == ("res_conv_vae", 64)


@pytest.mark.parametrize(
    "name", ["denoise_sweep", "representation_sweep", "generation_sweep", "vae_vs_ae"]
)
def test_what_belongs_to_some_families_is_suggested_to_them_alone(name: str) -> None:
    plan = _plan(name, Settings(space="wide"))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(200):
        trial = study.ask()
        config = plan.configure(trial)
        assert ("beta" in trial.params) == config.model.variational
        assert ("blocks" in trial.params) == config.model.kind.startswith(("res", "hier"))
        assert ("layers" in trial.params) == config.model.kind.startswith("mlp")
        assert len(config.model.hidden) == trial.params.get("layers", 1)


def _plan(name: str, settings: Settings) -> Plan:
    return make_plan(importlib.import_module(f"studies.{name}").STUDY, settings)
