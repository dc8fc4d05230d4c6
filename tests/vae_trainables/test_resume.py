"""A resumed trial against one that was never interrupted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from vae_trainables.config import Binarise, TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.training.session import Session
from vae_trainables.training.trial import Trial


def random_split(count: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=generator)
    return Split(images, torch.arange(count) % 10)


@pytest.mark.parametrize(
    ("kind", "binarise"),
    [("mlp_vae", "none"), ("conv_vae", "none"), ("gated_mlp_vae", "dynamic")],
)
def test_resuming_continues_bit_for_bit(kind: str, binarise: Binarise, tmp_path: Path) -> None:
    """The convolutions' weights are channels_last, and so must their Adam moments be again."""
    data = TrialData(random_split(128, 0), random_split(32, 1))
    config = TrialConfig(
        kind=kind,
        hidden=(32,),
        widths=(8, 8),
        latent_dim=4,
        batch_size=32,
        epochs=3,
        binarise=binarise,
    )
    whole, first, second = (Trial(config, data) for _ in range(3))
    whole.run_epoch()
    whole.run_epoch()
    first.run_epoch()
    first.save(tmp_path)
    assert second.resume(tmp_path) == []
    second.run_epoch()
    expected, found = whole.state()[0], second.state()[0]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_checkpoint_older_than_a_setting_had_its_default() -> None:
    data = TrialData(random_split(64, 0), random_split(32, 1))
    config = TrialConfig(kind="mlp_vae", hidden=(16,), latent_dim=4, batch_size=32, epochs=2)
    trial = Trial(config, data)
    trial.run_epoch()
    tensors, meta = trial.state()
    del meta["config"]["precision"]
    Trial(config, data).load_state(tensors, meta)
    low = Trial(config.model_copy(update={"precision": "bf16"}), data)
    with pytest.raises(ValueError, match="another configuration"):
        low.load_state(tensors, meta)


def test_a_storage_that_takes_no_checkpoint_is_no_fault_of_the_trial(tmp_path: Path) -> None:
    """`/dev/full` answers any write with ENOSPC."""
    data = TrialData(random_split(64, 0), random_split(32, 1))
    config = TrialConfig(kind="mlp_vae", hidden=(8,), latent_dim=2, batch_size=32, epochs=2)
    (tmp_path / f"epoch-0001.tmp-{os.getpid()}").symlink_to("/dev/full")
    record = Session(config, data, tmp_path, open_test=False).next_record()
    assert record.outcome == "unsaved"
    assert "No space left on device" in record.reason


@pytest.mark.parametrize(("damaged", "went_on"), [([3], 2), ([2, 3], 0)])
def test_a_damaged_checkpoint_is_named_and_an_older_one_used(
    damaged: list[int], went_on: int, tmp_path: Path
) -> None:
    data = TrialData(random_split(128, 0), random_split(32, 1))
    config = TrialConfig(kind="mlp_vae", hidden=(8,), latent_dim=2, batch_size=64, epochs=5)
    first, second = Trial(config, data), Trial(config, data)
    for _ in range(3):
        first.run_epoch()
        first.save(tmp_path)
    for epoch in damaged:
        path = tmp_path / f"epoch-{epoch:04d}.safetensors"
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
    complaints = second.resume(tmp_path)
    assert second.epoch == went_on
    assert len(complaints) == len(damaged)
    for epoch, complaint in zip(sorted(damaged, reverse=True), complaints, strict=True):
        assert f"epoch-{epoch:04d}" in complaint
        assert f"went on from epoch {went_on}" in complaint


def test_a_trial_that_cannot_write_its_checkpoint_fails_with_the_reason(tmp_path: Path) -> None:
    """Not even the traceback can be kept there: the record must come all the same."""
    blocked = tmp_path / "trial"
    blocked.write_text("a file where the folder should be")
    data = TrialData(random_split(64, 0), random_split(32, 1))
    config = TrialConfig(kind="mlp_vae", hidden=(8,), latent_dim=2, batch_size=64, epochs=2)
    record = Session(config, data, blocked, open_test=False).next_record()
    assert record.outcome == "failed"
    assert "File exists" in record.reason
    assert "no traceback kept" in record.reason
