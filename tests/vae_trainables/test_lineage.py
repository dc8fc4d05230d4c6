"""Settings that change between two epochs: the same bits by checkpoint, from epoch 1, in a slot."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.vae_trainables.cohort.support import (
    assert_same_bits,
    comparable,
    config,
    run_cohort,
    small_data,
    solo,
    varied,
)
from vae_trainables.cohort import Assignment, Cohort
from vae_trainables.config import TrialConfig
from vae_trainables.training.trial import Trial

CHANGED = {
    "lr": 4e-4,
    "beta": 2.5,
    "noise_factor": 0.3,
    "supcon_gamma": 3.0,
    "supcon_temperature": 0.5,
}


def parent(**settings: object) -> TrialConfig:
    weighed = {"noise_factor": 0.2, "supcon_gamma": 1.0, "weight_decay": 0.01, "epochs": 4}
    return config("mlp_vae", **weighed | settings)


def test_an_heir_is_its_parent_up_to_the_epoch_and_other_settings_from_there_on() -> None:
    """Against a trial of the other settings that is given the parent's state by hand."""
    heir = parent().heir(2, CHANGED)
    tensors, meta = solo(parent(), epochs=2).state()
    other = heir.model_copy(update={"lineage": ()})
    by_hand = Trial(other, small_data())
    by_hand.load_state(tensors, meta | {"config": other.flat()})
    by_hand.run_epoch()
    by_hand.run_epoch()
    assert_same_bits(solo(heir, epochs=4), by_hand)


def test_an_heir_goes_on_from_its_parents_checkpoint(tmp_path: Path) -> None:
    heir = parent().heir(1, CHANGED).heir(3, {"lr": 5e-3, "weight_decay": 0.1})
    first = parent().heir(1, CHANGED)
    solo(first, epochs=3).save(tmp_path)
    trial = Trial(heir, small_data())
    assert trial.resume(tmp_path) == []
    trial.run_epoch()
    whole = solo(heir, epochs=4)
    assert_same_bits(trial, whole)
    assert [comparable(entry["metrics"]) for entry in trial.history] == [
        comparable(entry["metrics"]) for entry in whole.history
    ], "what was measured depends on settings too: SupCon's temperature"
    assert [entry["metrics"]["lr"] for entry in trial.history] == pytest.approx(
        [parent().optimiser.lr, 4e-4, 4e-4, 5e-3]
    )


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_checkpoint_of_another_past_is_refused(epoch: int, tmp_path: Path) -> None:
    """One epoch too early or too late is not where the heir took over."""
    heir = parent().heir(2, CHANGED)
    solo(parent(seed=1) if epoch == 1 else parent(), epochs=epoch).save(tmp_path)
    with pytest.raises(ValueError, match="another configuration"):
        Trial(heir, small_data()).resume(tmp_path)


def test_an_heir_trains_in_a_slot_beside_others(tmp_path: Path) -> None:
    """Seated at its first epoch, and where its parent's checkpoint left off."""
    whole = [c.model_copy(update={"epochs": 4}) for c in varied(count=2)]
    whole = [c.model_copy(update={"supcon_gamma": 1.0}) for c in whole]
    heir = whole[0].heir(2, {"lr": 2e-4, "beta": 0.7, "supcon_temperature": 0.4})
    run = run_cohort({0: heir, 1: whole[1]}, tmp_path / "a", slots=2, epochs=3)
    assert_same_bits(run.cohort.member(0), solo(heir, epochs=3))
    assert_same_bits(run.cohort.member(1), solo(whole[1], epochs=3))
    solo(whole[0], epochs=2).save(tmp_path / "b")
    cohort = Cohort(whole[1], small_data(), slots=2, like=whole)
    told = cohort.admit(0, Assignment(heir, tmp_path / "b"))
    assert [record.epoch for record in told] == [1, 2], "its history is its parent's until then"
    cohort.run_epoch()
    member, alone = cohort.member(0), solo(heir, epochs=3)
    assert_same_bits(member, alone)
    assert [comparable(entry["metrics"]) for entry in member.history] == [
        comparable(entry["metrics"]) for entry in alone.history
    ]


def test_the_settings_that_are_logged_are_those_that_held() -> None:
    trial = solo(parent(warmup_epochs=0).heir(1, {"beta": 3.0}), epochs=2)
    betas = [entry["metrics"]["beta"] for entry in trial.history]
    assert betas == pytest.approx([parent().objective.beta, 3.0])
    assert comparable(trial.history[0]["metrics"]) == comparable(
        solo(parent(warmup_epochs=0), epochs=1).history[0]["metrics"]
    )


def test_a_lineage_survives_json_and_mlflows_texts() -> None:
    heir = parent().heir(1, CHANGED).heir(2, {"lr": 1e-2})
    assert TrialConfig.model_validate_json(heir.model_dump_json()) == heir
    assert TrialConfig.model_validate(heir.flat()) == heir
    assert heir.fingerprint() != parent().heir(1, CHANGED).fingerprint()
    assert "lineage" not in parent().identity(), "what was recorded before keeps its fingerprint"


@pytest.mark.parametrize(
    ("lineage", "words"),
    [
        ([(2, {"lr": 1e-3}), (2, {"lr": 1e-4})], "in order"),
        ([(4, {"lr": 1e-3})], "before the last"),
        ([(1, {"latent_dim": 8})], "no setting that may change"),
        ([(1, {"beta": 0.0})], "another loss"),
        ([(1, {"lr": -1.0})], "greater than 0"),
    ],
)
def test_an_impossible_lineage_is_refused(
    lineage: list[tuple[int, dict[str, float]]], words: str
) -> None:
    stretches = [{"until": until, "settings": settings} for until, settings in lineage]
    with pytest.raises(ValidationError, match=words):
        parent().model_copy(update={"lineage": stretches})
