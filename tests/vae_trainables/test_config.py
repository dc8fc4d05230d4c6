"""The configuration: a tree inside of the program, flat outside of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vae_trainables.config import PARTS, PLACES, SETTINGS, TrialConfig, setting_of

EXAMPLES = {
    "kind": "mlp_vae", "image_size": (32, 28), "latent_dim": 5, "hidden": (8, 4),
    "dataset": "mnist", "train_size": 100, "noise_kind": "masking", "noise_factor": 0.2,
    "noise_factor_max": 0.4, "recon_term": "l1", "beta": 0.5, "kl_target": 3.0,
    "optimizer": "adamw", "lr": 0.01, "epochs": 3, "watch": "val/mse",
    "eval_noise_kind": "poisson", "eval_noise_factor": 0.1, "evaluations": ("probe",),
    "class_source": "predicted", "seed": 7, "threads": 2, "binarise": "static",
    "iw_samples": 500, "iw_images": 1000,
}  # fmt: skip


def test_every_setting_has_one_place_and_one_name() -> None:
    assert set(PLACES) == set(SETTINGS)
    assert len(set(PLACES.values())) == len(PLACES)
    fields = sum(len(part.model_fields) for part in PARTS.values())
    assert len(SETTINGS) == fields + len({"seed", "threads", "lineage"})
    assert not SETTINGS.keys() & PARTS.keys(), "a part and a setting would have one name"


@given(st.sets(st.sampled_from(sorted(EXAMPLES))))
def test_what_is_given_is_what_is_written(names: set[str]) -> None:
    names |= {"noise_factor"} if "noise_factor_max" in names else set()
    settings = {name: EXAMPLES[name] for name in names}
    config = TrialConfig(**settings)
    assert config.given == settings
    assert {name: config.setting(name) for name in names} == settings
    assert TrialConfig.model_validate(config.model_dump()) == config
    assert TrialConfig.model_validate_json(config.model_dump_json()) == config
    texts = {n: v if isinstance(v, str) else json.dumps(v) for n, v in config.flat().items()}
    assert TrialConfig.from_texts(texts) == config
    assert list(config.model_dump()) == list(SETTINGS)


def test_the_tree_holds_what_the_flat_names_say() -> None:
    config = TrialConfig(**EXAMPLES)
    assert (config.noise.kind, config.noise.factor, config.noise.factor_max) == (
        "masking",
        0.2,
        0.4,
    )
    assert (config.evaluation.noise_kind, config.evaluation.extras) == ("poisson", ("probe",))
    assert (config.data.dataset, config.optimiser.algorithm) == ("mnist", "adamw")
    assert (config.model.image_shape, config.budget.epochs) == ((1, 32, 28), 3)


def test_fingerprints_of_studies_that_were_begun_before_the_tree_stand() -> None:
    before = TrialConfig(kind="mlp_vae", latent_dim=4, noise_factor=0.3, image_size=(32, 32))
    assert before.fingerprint() == "00d5274f14a6de04"
    assert before.model_copy(update={"seed": 5}).fingerprint() == before.fingerprint()
    assert before.model_copy(update={"lr": 0.1}).fingerprint() != before.fingerprint()


def test_younger_settings_count_only_where_they_are_set() -> None:
    before = TrialConfig(kind="mlp_vae", latent_dim=4, noise_factor=0.3, image_size=(32, 32))
    for name, value in {"binarise": "static", "iw_samples": 500, "iw_images": 9}.items():
        default = before.model_copy(update={name: SETTINGS[name].default})
        assert (default.fingerprint(), default.identity()) == (
            before.fingerprint(),
            before.identity(),
        )
        other = before.model_copy(update={name: value})
        assert other.fingerprint() != before.fingerprint()
        assert other.identity() == before.identity() | {name: value}


def test_a_copy_is_validated_and_keeps_what_was_given() -> None:
    config = TrialConfig(kind="mlp_vae", watch="val/mse")
    copy = config.model_copy(update={"lr": 0.5})
    assert copy.given == {"kind": "mlp_vae", "watch": "val/mse", "lr": 0.5}
    with pytest.raises(ValidationError):
        config.model_copy(update={"lr": -1.0})
    with pytest.raises(ValidationError, match="'lrr' is not permitted"):
        config.model_copy(update={"lrr": 1.0})


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"latent_dim": 0}, "latent_dim"),
        ({"image_size": 4}, "image_size"),
        ({"noise_factor": 0.5, "noise_factor_max": 0.4}, "noise"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"eval_noise_kind": "fog"}, "eval_noise_kind"),
        ({"typo": 1}, "typo"),
        ({"seed": -1}, "seed"),
    ],
)
def test_an_error_names_the_setting_as_the_user_wrote_it(
    settings: dict[str, object], about: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        TrialConfig(**settings)
    assert setting_of(caught.value.errors()[0]) == about
