"""A model that this package has never seen: configured, trained, resumed, saved, loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor, nn

from vae_trainables import models
from vae_trainables.config import ModelConfig, TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.inference import Denoiser
from vae_trainables.kinds import KINDS
from vae_trainables.training.trial import Trial


class Pixels(nn.Module):
    """The smallest VAE: linear both ways, with batch normalisation in between."""

    class Settings(BaseModel):
        hidden_size: int = Field(8, ge=1, le=64)

    def __init__(self, config: ModelConfig, settings: Settings) -> None:
        super().__init__()
        self.shape = (config.channels, config.image_size, config.image_size)
        pixels, hidden = config.channels * config.image_size**2, settings.hidden_size
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.BatchNorm1d(hidden))
        self.heads = nn.Linear(hidden, 2 * config.latent_dim)
        self.out = nn.Linear(config.latent_dim, pixels)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z_mean, z_logvar = self.heads(self.trunk(x)).chunk(2, 1)
        return z_mean, z_logvar

    def decode(self, z: Tensor) -> Tensor:
        return self.out(z).view(-1, *self.shape)


class Plain(nn.Module):
    """No latent at all."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.net = nn.Conv2d(config.channels, config.channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@pytest.fixture(autouse=True)
def kinds_as_they_were() -> Iterator[None]:
    before = dict(KINDS)
    models.register("pixels")(Pixels)
    models.register("plain")(Plain)
    yield
    KINDS.clear()
    KINDS.update(before)


def data(channels: int = 3, size: int = 16) -> TrialData:
    generator = torch.Generator().manual_seed(0)
    shape = (96, channels, size, size)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.arange(96) % 4
    return TrialData(Split(images[:64], labels[:64]), Split(images[64:], labels[64:]))


def config(**changes: Any) -> TrialConfig:
    given = {"kind": "pixels", "channels": 3, "image_size": 16, "latent_dim": 4, "epochs": 2}
    return TrialConfig(**given | {"batch_size": 16} | changes)


def test_own_settings_stand_beside_all_others_and_travel_as_text() -> None:
    own = config(hidden_size=12)
    dumped = own.model_dump(mode="json")
    assert dumped["hidden_size"] == 12
    assert "own" not in dumped
    assert TrialConfig.model_validate_json(own.model_dump_json()) == own
    assert TrialConfig.from_texts(
        {k: str(v) for k, v in {"hidden_size": 12}.items()} | {"kind": "pixels"}
    ).model.own == {"hidden_size": 12}
    assert own.fingerprint() != config(hidden_size=13).fingerprint()
    assert config().model.own == {"hidden_size": 8}


def test_a_configuration_without_own_settings_is_dumped_as_it_always_was() -> None:
    assert "own" not in TrialConfig().model_dump()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 0}, "greater than or equal to 1"),
        ({"hidden_sise": 3}, "hidden_sise"),
        ({"kind": "plain", "hidden_size": 3}, "hidden_size"),
        ({"kind": "nobodys"}, "no model kind 'nobodys'"),
    ],
)
def test_own_settings_are_checked_like_all_others(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**changes)


@pytest.mark.parametrize("kind", ["pixels", "plain"])
def test_own_models_train_resume_bit_for_bit_and_denoise(kind: str, tmp_path: Path) -> None:
    whole = Trial(config(kind=kind), data())
    history = [whole.run_epoch(), whole.run_epoch()]
    first = Trial(config(kind=kind), data())
    first.run_epoch()
    first.save(tmp_path)
    again = Trial(config(kind=kind), data())
    again.resume(tmp_path)
    resumed = again.run_epoch()
    for name, value in history[1].items():
        if not name.startswith("time/"):
            assert resumed[name] == value, name
    whole.save_weights(tmp_path / "weights.safetensors")
    denoiser = Denoiser.load(tmp_path / "weights.safetensors")
    clean = denoiser.denoise(torch.rand(5, 3, 16, 16).numpy())
    assert clean.shape == (5, 3, 16, 16)
    assert clean.min() >= 0
    assert clean.max() <= 1


def test_batch_normalisation_learns_its_running_statistics() -> None:
    trial = Trial(config(), data())
    trial.run_epoch()
    assert trial.model.state_dict()["net.trunk.2.running_mean"].abs().max() > 0


def test_names_of_this_package_and_of_its_settings_are_taken() -> None:
    with pytest.raises(ValueError, match="take another name"):
        models.register("conv_vae")(Plain)

    class Clash(Plain):
        class Settings(BaseModel):
            lr: float = 0.1

    with pytest.raises(ValueError, match="Settings has lr"):
        models.register("clash")(Clash)

    class Half(Plain):
        def encode(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(ValueError, match="one of encode and decode"):
        models.register("half")(Half)


def test_a_notebook_may_define_its_model_again() -> None:
    models.register("plain")(Plain)
    assert KINDS["plain"].origin == __name__
