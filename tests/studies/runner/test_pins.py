"""`--set NAME=VALUE` on every study: the sampler never hears of it, all configurations have it."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import optuna
import pytest

from studies.definition import StudyDefinition
from studies.errors import InputError
from studies.runner.planning import Plan, make_plan
from studies.runner.publication import distributions
from studies.runner.settings import Settings
from vae_trainables.config import TrialConfig, stable_hash

STUDIES = ("denoise_sweep", "vae_vs_ae", "representation_sweep", "generation_sweep")
PINS: dict[str, Any] = {
    "latent_dim=9": 9,
    "kind=res_conv_vae": "res_conv_vae",
    "supcon_gamma=0": 0.0,
    "lr=2e-3": 2e-3,
    "width=2": 2.0,
    "likelihood=sigma": "sigma",
    "noise_factor_max=0.9": 0.9,
    "widths=[8,16]": (8, 16),
}


SPACES = ("default", "wide")


def study(name: str) -> StudyDefinition:
    definition: StudyDefinition = importlib.import_module(f"studies.{name}").STUDY
    return definition


def asked(plan: Plan, count: int = 12) -> list[tuple[optuna.Trial, TrialConfig]]:
    made = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    made.enqueue_trial(plan.reference_params())
    trials = [made.ask() for _ in range(count)]
    return [(trial, plan.configure(trial)) for trial in trials]


@pytest.mark.parametrize("pin", PINS)
@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("space", SPACES)
def test_a_pinned_field_holds_everywhere_and_is_not_searched(
    name: str, pin: str, space: str
) -> None:
    field, _, _ = pin.partition("=")
    plan = make_plan(study(name), Settings(set=[pin], space=space))
    trials = asked(plan)
    configs = [plan.reference, *plan.companions, *(config for _, config in trials)]
    assert {config.setting(field) for config in configs} == {PINS[pin]}
    assert field not in distributions(plan)
    assert not any(field in trial.params for trial, _ in trials)
    assert trials[0][1].fingerprint() == plan.reference.fingerprint()
    free = make_plan(study(name), Settings(space=space))
    assert plan.fingerprint() != free.fingerprint()
    assert set(distributions(plan)) <= set(distributions(free))


@pytest.mark.parametrize("name", STUDIES)
def test_a_value_that_the_reference_has_already_is_another_study_too(name: str) -> None:
    free = make_plan(study(name), Settings())
    pinned = make_plan(study(name), Settings(set=[f"latent_dim={free.reference.model.latent_dim}"]))
    assert pinned.reference == free.reference
    assert pinned.fingerprint() != free.fingerprint()


def test_a_choice_that_decides_over_pinned_fields_alone_leaves_the_search_with_them() -> None:
    definition = study("representation_sweep")
    assert "supcon" in distributions(make_plan(definition, Settings()))
    plan = make_plan(definition, Settings(set=["supcon_gamma=7"]))
    assert set(distributions(plan)) == {"latent_dim", "beta", "width"}
    assert {config.objective.supcon_gamma for _, config in asked(plan)} == {7.0}


def test_a_choice_that_is_no_field_can_be_pinned_and_the_reference_follows() -> None:
    plan = make_plan(study("representation_sweep"), Settings(set=["supcon=true"]))
    assert plan.reference.objective.supcon_gamma == 1.0  # the least that the space has
    assert all(config.objective.supcon_gamma >= 1 for _, config in asked(plan))
    assert "supcon" not in distributions(plan)
    assert asked(plan)[0][1].fingerprint() == plan.reference.fingerprint()


def test_several_pins_and_those_of_another_kind_of_model() -> None:
    plan = make_plan(study("vae_vs_ae"), Settings(set=["kind=mlp_ae", "lr=0.01"]))
    assert set(distributions(plan)) == {"latent_dim"}  # an autoencoder has no beta
    assert plan.companions == ()  # the companion is the reference now


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["latentdim=3"], "there is no 'latentdim'; did you mean latent_dim"),
        (["qqq=3"], "there is no 'qqq'; names: batch_size|there is no 'qqq'; names: beta"),
        (["latent_dim"], "give NAME=VALUE"),
        (["=3"], "give NAME=VALUE"),
        (["latent_dim=many"], "latent_dim=many: Input should be a valid integer"),
        (["latent_dim=0"], "greater than or equal to 1"),
        (["kind=gan"], "there is no model kind 'gan'; there are mlp_ae"),
        (["epochs=3"], "epochs has a flag, --epochs"),
        (["beta=1", "beta=2"], "beta is given twice"),
        (["noise_factor=0.9", "noise_factor_max=0.1"], "noise_factor_max must be at least"),
    ],
)
@pytest.mark.parametrize("name", STUDIES)
def test_what_cannot_be_is_refused_before_anything_starts(
    name: str, given: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make_plan(study(name), Settings(set=given))
    assert "\n" not in str(caught.value)


def test_a_choice_outside_of_the_space_is_refused() -> None:
    with pytest.raises(InputError, match=r"give one of \[False, True\]"):
        make_plan(study("representation_sweep"), Settings(set=["supcon=maybe"]))


def test_the_flag_of_the_batch_size_holds_where_the_space_would_search_it() -> None:
    plan = make_plan(study("denoise_sweep"), Settings(space="wide", batch_size=48))
    assert {config.optimiser.batch_size for _, config in asked(plan)} == {48}
    assert "batch_size" not in distributions(plan)
    default = make_plan(study("denoise_sweep"), Settings(batch_size=48))
    assert not default.pins, "a space that does not search it is what it always was"


def test_without_pins_the_fingerprint_is_what_it_always_was() -> None:
    definition = study("denoise_sweep")
    plan = make_plan(definition, Settings(set=[]))
    assert not plan.pins
    source = inspect.getsource(definition.space)
    assert plan.fingerprint()["space"] == stable_hash(source)
