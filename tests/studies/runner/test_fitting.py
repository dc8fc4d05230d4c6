"""What a study becomes on data that its file did not know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from studies.denoise_sweep import STUDY
from studies.errors import InputError
from studies.generation_sweep import STUDY as GENERATION
from studies.representation_sweep import STUDY as REPRESENTATION
from studies.runner.data import find
from studies.runner.fitting import fitted, remarks
from studies.runner.planning import make_plan
from studies.runner.publication import distributions
from studies.runner.settings import Settings
from vae_trainables.config import TrialConfig
from vae_trainables.datasets import Facts

PETS = Facts("pets", (3, 20, 36), ("cat", "dog", "emu"), 90)
BARE = replace(PETS, classes=())


def test_size_channels_and_classes_follow_the_data_for_reference_companions_and_trials() -> None:
    plan = make_plan(STUDY, Settings(), PETS)
    for config in (plan.reference, *plan.companions):
        assert config.model.image_shape == (3, 20, 36)
        assert (config.data.dataset, config.model.num_classes) == ("pets", 3)
    assert plan.fingerprint() != make_plan(STUDY, Settings()).fingerprint()
    assert distributions(plan) == distributions(make_plan(STUDY, Settings()))


def test_what_the_study_file_sets_on_purpose_stays() -> None:
    config = TrialConfig(channels=1, num_classes=26)
    assert fitted(config, PETS) == {"image_size": (20, 36), "dataset": "pets"}
    assert fitted(config, None) == {}


def test_square_images_are_one_number_and_one_class_is_a_vector_of_two() -> None:
    assert fitted(TrialConfig(), replace(PETS, shape=(1, 32, 32)))["image_size"] == 32
    assert fitted(TrialConfig(), replace(PETS, classes=("a",)))["num_classes"] == 2


def test_without_labels_supcon_leaves_the_search_and_probes_are_not_asked_for() -> None:
    plan = make_plan(STUDY, Settings(), BARE)
    assert plan.reference.objective.supcon_gamma == 0
    assert plan.companions == ()  # it differed in SupCon alone
    assert not {"supcon_gamma", "supcon_temperature"} & set(distributions(plan))
    asked = STUDY.reference.model_copy(update={"evaluations": ("probe",)})
    assert (
        make_plan(replace(STUDY, reference=asked), Settings(), BARE).reference.evaluation.extras
        == ()
    )


@pytest.mark.parametrize(
    ("definition", "settings", "message"),
    [
        (STUDY, Settings(objective="probe"), "no labels, and val/probe needs them"),
        (REPRESENTATION, Settings(objective="mse"), "no labels, and val/probe needs them"),
        (GENERATION, Settings(), "no labels, and val/frechet needs them"),
        (STUDY, Settings(set=["kind=cond_conv_vae"]), "which cond_conv_vae is conditioned on"),
        (STUDY, Settings(set=["supcon_gamma=2"]), "the data has no labels"),
    ],
)
def test_what_needs_labels_is_refused_in_one_line(definition, settings, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message) as caught:
        make_plan(definition, settings, BARE)
    assert "\n" not in str(caught.value)


def test_the_user_is_told_what_the_data_is() -> None:
    lines = remarks(STUDY.reference, BARE, ["a note"])
    assert lines[0] == "pets: 90 training images, 20 × 36 colour, no labels"
    assert "90 training images are less than a batch: an epoch is one step" in lines
    assert lines[-1] == "a note"


def test_a_published_set_is_not_looked_at_before_ray_starts() -> None:
    assert find(STUDY, Settings()).source is None


def test_data_that_is_not_there_is_refused_with_the_known_names() -> None:
    with pytest.raises(InputError, match=r"neither a file or folder .* kmnist"):
        find(STUDY, Settings(data="no/such/folder"))
    with pytest.raises(InputError, match="--data excludes --dataset"):
        Settings(data="x", dataset="mnist").check()
