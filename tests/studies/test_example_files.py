"""The study files of the documentation, as they stand: models, terms and data of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
import pytest
from PIL import Image

from studies import study_file
from studies.runner import data as images
from studies.runner import fitness
from studies.runner.planning import make_plan
from studies.runner.run import load_data
from studies.runner.settings import Settings
from vae_trainables import metrics
from vae_trainables.cohort import fusion_key
from vae_trainables.config import BETA_SCHEDULES, NOISE_KINDS
from vae_trainables.datasets import noise
from vae_trainables.evaluation import baselines
from vae_trainables.kinds import KINDS
from vae_trainables.training import schedules
from vae_trainables.training.session import Session

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(autouse=True)
def everything_as_it_was() -> Iterator[None]:
    """What the files register stays with this test."""
    before = dict(KINDS)
    yield
    KINDS.clear()
    KINDS.update(before)
    for names, remove in (
        (NOISE_KINDS, noise.remove),
        (BETA_SCHEDULES, schedules.remove),
        (metrics.NAMES, metrics.remove),
        (baselines.NAMES, baselines.remove),
    ):
        for name in [name for name in names if names.is_own(name)]:
            remove(name)


def pictures(folder: Path, *, classes: int, channels: int, side: int) -> str:
    """A folder of PNGs, by class or, with 0 classes, flat."""
    rng = np.random.default_rng(0)
    for number in range(60):
        place = folder / f"class {number % classes}" if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        shape = (side, side, 3) if channels == 3 else (side, side)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(place / f"{number}.png")
    return str(folder)


DATA = {
    "colour_resnet_vae.py": {"classes": 6, "channels": 3, "side": 32},
    "unet_denoiser.py": {"classes": 3, "channels": 1, "side": 28},
    "arrays_vae.py": None,
    "own_pictures.py": {"classes": 0, "channels": 3, "side": 24},
}


@pytest.mark.parametrize("name", DATA)
def test_an_example_file_is_planned_trained_and_resumed(name: str, tmp_path: Path) -> None:
    definition = study_file.load(EXAMPLES / name)
    made = DATA[name]
    path = pictures(tmp_path / "images", **made) if made else None
    settings = Settings(data=path, epochs=2, batch_size=16, trials=2)
    found = images.find(definition, settings)
    plan = make_plan(definition, found.settings, found.facts)
    data = load_data(plan, found.source)
    fitness.check(plan, data)
    draws = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for number, config in enumerate((plan.reference, plan.configure(draws.ask()))):
        folder = tmp_path / str(number)
        first = Session(config, data, folder, open_test=False).next_record()
        assert first.outcome == "running", first.reason
        session = Session(config, data, folder, open_test=False)
        assert session.next_record().metrics == first.metrics
        assert session.next_record().outcome == "finished"
        assert set(config.model.own) <= set(config.model_dump())


@pytest.mark.parametrize("name", ["colour_resnet_vae.py", "unet_denoiser.py"])
def test_own_models_of_the_examples_train_in_cohorts(name: str) -> None:
    reference = study_file.load(EXAMPLES / name).reference
    assert fusion_key(reference).obstacle == ""
