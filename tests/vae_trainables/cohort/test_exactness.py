"""A member of a cohort against the same trial alone: the promise that makes cohorts usable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.vae_trainables.cohort.support import (
    assert_same_bits,
    comparable,
    config,
    run_cohort,
    solo,
    varied,
)
from vae_trainables.cohort import Ways
from vae_trainables.cohort.layers import Convolution

TERMS: list[dict[str, Any]] = [
    {"supcon_gamma": 30.0},
    {"free_bits": 0.1},
    {"kl_target": 5.0},
    {"free_bits": 0.05, "kl_target": 2.0, "supcon_gamma": 1.0},
    {"ssim_weight": 20.0},
    {"edge_weight": 0.5},
    {"recon_term": "mse"},
    {"recon_term": "l1", "edge_weight": 0.1},
    {"likelihood": "gaussian", "gaussian_std": 0.5},
    {"likelihood": "continuous_bernoulli"},
    {"likelihood": "sigma"},
    {"noise_factor": 0.0},
    {"noise_factor_max": 0.6},
    {"noise_kind": "salt_pepper"},
    {"noise_kind": "masking", "noise_factor_max": 0.5},
    {"noise_kind": "poisson"},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"hidden": ()},
    {"hidden": (64, 32)},
    {"hidden": (400,)},
    {"hidden": (400, 128), "batch_size": 128},
    {"batch_size": 50, "latent_dim": 16},
    {"binarise": "dynamic"},
]


@pytest.mark.parametrize("slots", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["mlp_vae", "mlp_ae"])
def test_an_mlp_member_is_its_solo_trial_bit_for_bit(kind: str, slots: int, tmp_path: Path) -> None:
    configs = dict(enumerate(varied(kind, slots)))
    run = run_cohort(configs, tmp_path, slots=slots, epochs=2)
    for slot, chosen in configs.items():
        alone = solo(chosen, epochs=2)
        assert_same_bits(run.members[slot], alone)
        for record, entry in zip(run.records[slot], alone.history, strict=True):
            assert comparable(record.metrics) == comparable(entry["metrics"])


@pytest.mark.parametrize("settings", TERMS, ids=lambda settings: "-".join(settings))
def test_every_term_of_the_step_has_the_bits_of_the_solo_trial(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """SSIM excepted: its filters are one product over all slots, summed in another order."""
    configs = dict(enumerate(varied(count=2, **settings)))
    run = run_cohort(configs, tmp_path, slots=2, epochs=1)
    for slot, chosen in configs.items():
        alone = solo(chosen, epochs=1)
        if "ssim_weight" not in settings:
            assert_same_bits(run.members[slot], alone)
        expected = comparable(alone.history[0]["metrics"])
        assert comparable(run.records[slot][0].metrics) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("way", ["grouped", "im2col"])
@pytest.mark.parametrize("kind", ["conv_vae", "conv_ae"])
def test_a_convolutional_member_has_its_solo_trials_losses(
    kind: str, way: Convolution, tmp_path: Path
) -> None:
    configs = dict(enumerate(varied(kind, 3)))
    run = run_cohort(configs, tmp_path, slots=3, epochs=1, ways=Ways(convolution=way))
    for slot, chosen in configs.items():
        expected = comparable(solo(chosen, epochs=1).history[0]["metrics"])
        assert comparable(run.records[slot][0].metrics) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_a_narrow_latent_in_a_wide_cohort_trains_as_if_alone(kind: str, tmp_path: Path) -> None:
    """To rounding only: a matrix product of 8 columns is not summed like one of 16."""
    configs = {0: config(kind, latent_dim=16), 1: config(kind, latent_dim=8, seed=3)}
    run = run_cohort(configs, tmp_path, slots=2, epochs=1)
    expected = comparable(solo(configs[1], epochs=1).history[0]["metrics"])
    assert comparable(run.records[1][0].metrics) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("settings", TERMS[:4], ids=lambda settings: "-".join(settings))
def test_padding_enters_no_term_of_the_loss(settings: dict[str, Any], tmp_path: Path) -> None:
    configs = {0: config(latent_dim=16, **settings), 1: config(latent_dim=5, seed=3, **settings)}
    run = run_cohort(configs, tmp_path, slots=2, epochs=1)
    expected = comparable(solo(configs[1], epochs=1).history[0]["metrics"])
    assert comparable(run.records[1][0].metrics) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_padding_stays_exactly_zero(optimizer: str, tmp_path: Path) -> None:
    both = {"optimizer": optimizer, "weight_decay": 0.1, "lr": 1e-2, "epochs": 3}
    configs = {0: config(latent_dim=16, **both), 1: config(latent_dim=8, seed=3, **both)}
    for ways in (Ways(), Ways(adam="flat", backend="counter")):
        run = run_cohort(configs, tmp_path / str(ways.adam), slots=2, epochs=2, ways=ways)
        bank = run.cohort.bank
        for buffer in (bank.flat, bank.exp_avg, bank.exp_avg_sq):
            named = dict(zip(bank.parameters, bank.stacked(buffer), strict=True))
            for head in ("mean_head", "logvar_head"):
                assert not named[f"{head}.weight"][1, 8:].any()
                assert not named[f"{head}.bias"][1, 8:].any()
            assert not named["decoder.0.weight"][1, :, 8:].any()
            assert named["decoder.0.weight"][0, :, 8:].any()


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_slot_and_neighbours_do_not_change_a_bit(kind: str, tmp_path: Path) -> None:
    chosen, *others = varied(kind, 4)
    first = run_cohort({0: chosen, 1: others[0]}, tmp_path / "a", slots=3, epochs=2)
    other = run_cohort({0: others[1], 1: others[2], 2: chosen}, tmp_path / "b", slots=3, epochs=2)
    assert_same_bits(first.members[0], other.members[2])


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_refilling_a_slot_changes_no_bit_of_newcomer_or_neighbour(
    kind: str, tmp_path: Path
) -> None:
    short, steady, newcomer = varied(kind, 3)
    short = short.model_copy(update={"epochs": 1})
    steady, newcomer = (c.model_copy(update={"epochs": 3}) for c in (steady, newcomer))
    run = run_cohort({0: short, 1: steady}, tmp_path / "a", slots=2, epochs=1)
    assert run.records[0][-1].outcome == "finished"
    assert run.cohort.vacant == [0]
    run.admit(0, newcomer)
    run.epochs(2)
    undisturbed = run_cohort({0: newcomer, 1: steady}, tmp_path / "b", slots=2, epochs=2)
    assert_same_bits(run.members[0], undisturbed.members[0])
    undisturbed.epochs(1)
    assert_same_bits(run.members[1], undisturbed.members[1])


@pytest.mark.parametrize("ways", [Ways(), Ways(adam="flat", backend="counter")], ids=repr)
@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_a_member_that_diverges_leaves_the_others_as_they_were(
    kind: str, ways: Ways, tmp_path: Path
) -> None:
    mad, *sane = varied(kind, 3)
    mad = mad.model_copy(update={"lr": 1e30})
    beside = run_cohort(
        {0: sane[0], 1: mad, 2: sane[1]}, tmp_path / "a", slots=3, epochs=2, ways=ways
    )
    without = run_cohort({0: sane[0], 2: sane[1]}, tmp_path / "b", slots=3, epochs=2, ways=ways)
    (record,) = beside.records[1]
    assert record.outcome == "diverged"
    assert "epoch 1" in record.reason
    for slot in (0, 2):
        assert_same_bits(beside.members[slot], without.members[slot])


def test_counted_random_numbers_are_those_of_the_solo_trial(tmp_path: Path) -> None:
    """The GPU's generator, here on a CPU: whole epochs agree, shuffles and noise included."""
    settings = {"noise_factor": 0.1, "noise_factor_max": 0.5}
    configs = dict(enumerate(varied(count=3, **settings)))
    run = run_cohort(configs, tmp_path, slots=3, epochs=2, ways=Ways(backend="counter"))
    for slot, chosen in configs.items():
        assert_same_bits(run.members[slot], solo(chosen, epochs=2, backend="counter"))


@pytest.mark.parametrize("kind", ["salt_pepper", "masking", "poisson"])
def test_counted_noise_of_every_kind_is_that_of_the_solo_trial(kind: str, tmp_path: Path) -> None:
    configs = dict(enumerate(varied(count=2, noise_kind=kind)))
    run = run_cohort(configs, tmp_path, slots=2, epochs=1, ways=Ways(backend="counter"))
    for slot, chosen in configs.items():
        alone = solo(chosen, epochs=1, backend="counter").history[0]["metrics"]
        found = comparable(run.records[slot][0].metrics)
        assert found == pytest.approx(comparable(alone), rel=1e-5)


def test_flat_adam_has_the_solo_trials_losses(tmp_path: Path) -> None:
    configs = dict(enumerate(varied(count=4, optimizer="adamw")))
    run = run_cohort(configs, tmp_path, slots=4, epochs=1, ways=Ways(adam="flat"))
    for slot, chosen in configs.items():
        expected = comparable(solo(chosen, epochs=1).history[0]["metrics"])
        assert comparable(run.records[slot][0].metrics) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["res_conv_vae", "cond_conv_vae", "hier_conv_vae"])
def test_a_kind_without_stacked_kernels_trains_alone_by_the_same_code(
    kind: str, tmp_path: Path
) -> None:
    chosen = config(kind, blocks=1, noise_factor=0.3, latent_dim=4)
    run = run_cohort({0: chosen}, tmp_path, slots=1, epochs=1)
    expected = comparable(solo(chosen, epochs=1).history[0]["metrics"])
    assert comparable(run.records[0][0].metrics) == pytest.approx(expected, rel=1e-5)


def test_a_data_set_smaller_than_a_batch_is_one_batch(tmp_path: Path) -> None:
    chosen = config(train_size=40)
    run = run_cohort({0: chosen, 1: config(train_size=40, seed=1)}, tmp_path, slots=2, epochs=2)
    assert_same_bits(run.members[0], solo(chosen, epochs=2))


GPU_WAYS = [
    Ways(convolution=way, capture=capture, kernels=kernels)
    for way in ("grouped", "im2col")
    for capture, kernels in ((False, False), (True, False), (True, True))
]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnAGpu:
    """The same promises with the step captured and not; in full float32, so that 1e-5 is fair."""

    @pytest.fixture(autouse=True)
    def _full_precision(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
        monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)

    @pytest.mark.parametrize("ways", GPU_WAYS, ids=repr)
    @pytest.mark.parametrize("kind", ["mlp_vae", "mlp_ae", "conv_vae", "conv_ae"])
    def test_members_have_their_solo_trials_losses(
        self, kind: str, ways: Ways, tmp_path: Path
    ) -> None:
        configs = dict(enumerate(varied(kind, 4)))
        run = run_cohort(configs, tmp_path, slots=4, epochs=1, ways=ways, device="cuda")
        for slot, chosen in configs.items():
            alone = solo(chosen, epochs=1, device="cuda").history[0]["metrics"]
            found = comparable(run.records[slot][0].metrics)
            assert found == pytest.approx(comparable(alone), rel=1e-5)

    @pytest.mark.parametrize("settings", TERMS, ids=lambda settings: "-".join(settings))
    def test_every_term_survives_capture(self, settings: dict[str, Any], tmp_path: Path) -> None:
        """Poisson noise, which cannot be captured, trains step by step."""
        configs = dict(enumerate(varied(count=2, **settings)))
        run = run_cohort(configs, tmp_path, slots=2, epochs=1, device="cuda")
        for slot, chosen in configs.items():
            alone = solo(chosen, epochs=1, device="cuda").history[0]["metrics"]
            found = comparable(run.records[slot][0].metrics)
            assert found == pytest.approx(comparable(alone), rel=1e-5)

    @pytest.mark.parametrize("kind", ["res_conv_vae", "cond_conv_vae", "hier_conv_vae"])
    def test_kinds_without_stacked_kernels_are_captured_too(
        self, kind: str, tmp_path: Path
    ) -> None:
        chosen = config(kind, blocks=1, noise_factor=0.3, latent_dim=4)
        run = run_cohort({0: chosen}, tmp_path, slots=1, epochs=1, device="cuda")
        assert run.cohort.ways.capture
        expected = comparable(solo(chosen, epochs=1, device="cuda").history[0]["metrics"])
        assert comparable(run.records[0][0].metrics) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("ways", GPU_WAYS, ids=repr)
    @pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
    def test_slot_neighbours_refill_and_divergence_do_not_change_a_bit(
        self, kind: str, ways: Ways, tmp_path: Path
    ) -> None:
        chosen, short, mad, other = varied(kind, 4)
        short = short.model_copy(update={"epochs": 1})
        mad = mad.model_copy(update={"lr": 1e30})
        seated = {0: short, 1: mad, 2: chosen}
        run = run_cohort(seated, tmp_path / "a", slots=3, epochs=1, ways=ways, device="cuda")
        assert run.records[1][-1].outcome == "diverged"
        run.admit(0, other)
        run.epochs(1)
        quiet = run_cohort({0: chosen}, tmp_path / "b", slots=3, epochs=2, ways=ways, device="cuda")
        assert_same_bits(run.members[2], quiet.members[0])
