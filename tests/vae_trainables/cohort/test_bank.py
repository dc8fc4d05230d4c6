"""Rows of stacked parameters: layout, and the way in and out."""

from __future__ import annotations

import torch

from tests.vae_trainables.cohort.support import config, smooth_split, solo
from vae_trainables.cohort.bank import Bank
from vae_trainables.datasets.splits import TrialData
from vae_trainables.training.trial import Trial, build_model

CPU = torch.device("cpu")


def bank(slots: int = 2) -> Bank:
    return Bank(build_model(config("conv_vae", latent_dim=9)), slots, CPU)


def trial(epochs: int) -> Trial:
    data = TrialData(smooth_split(64, 0), smooth_split(32, 1))
    return solo(config("conv_vae", latent_dim=5, epochs=3), epochs=epochs, data=data)


def test_every_tensor_of_every_slot_starts_on_64_bytes() -> None:
    whole = bank(3)
    for stacked in whole.stacked(whole.flat):
        for row in stacked:
            assert row.is_contiguous()
            assert (row.data_ptr() - whole.flat.data_ptr()) % 64 == 0


def test_tensors_do_not_overlap() -> None:
    whole = bank()
    flat = torch.zeros_like(whole.flat)
    for stacked in whole.stacked(flat):
        stacked += 1
    assert flat.max() == 1


def test_the_stacked_parameters_are_the_flat_buffer() -> None:
    whole = bank()
    with torch.no_grad():
        whole.flat.fill_(3.0)
    assert all((parameter == 3).all() for parameter in whole.parameters.values())
    assert all(parameter.requires_grad for parameter in whole.parameters.values())


def test_a_trial_comes_out_as_it_went_in() -> None:
    trained, other = trial(epochs=1), trial(epochs=0)
    whole = bank()
    whole.load(1, trained.model, trained.optimizer.state)
    assert not whole.flat[0].any()
    whole.store(1, other.model, other.optimizer.state)
    expected, found = trained.state()[0], other.state()[0]
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_moments_lie_in_memory_as_their_parameters_do() -> None:
    trained, other = trial(epochs=1), trial(epochs=0)
    whole = bank()
    whole.load(0, trained.model, trained.optimizer.state)
    whole.store(0, other.model, other.optimizer.state)
    for parameter in other.model.parameters():
        for name in ("exp_avg", "exp_avg_sq"):
            assert other.optimizer.state[parameter][name].stride() == parameter.stride()


def test_loading_leaves_nothing_of_the_slots_last_trial() -> None:
    whole = bank()
    with torch.no_grad():
        for buffer in (whole.flat, whole.exp_avg, whole.exp_avg_sq, whole.steps):
            buffer.fill_(7.0)
    fresh = trial(epochs=0)
    whole.load(0, fresh.model, fresh.optimizer.state)
    assert not whole.exp_avg[0].any()
    assert not whole.exp_avg_sq[0].any()
    assert whole.steps.tolist() == [0.0, 7.0]
    head = whole.parameters["mean_head.weight"]
    assert not head[0, 5:].any()
    assert torch.equal(head[0, :5], fresh.model.mean_head.weight)
    assert (whole.flat[1] == 7).all()
