"""Black and white images drawn from grey ones."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from vae_trainables import datasets
from vae_trainables.config import DataConfig, TrialConfig
from vae_trainables.datasets import binarising
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.numerics.streams import Backend, Streams
from vae_trainables.training.misfit import misfit
from vae_trainables.training.trial import binarised

CPU = torch.device("cpu")


def grey(count: int, level: int) -> Split:
    images = torch.full((count, 1, 8, 8), level, dtype=torch.uint8)
    return Split(images, torch.zeros(count, dtype=torch.int64))


def config(how: str, **settings: object) -> TrialConfig:
    given = {"kind": "mlp_vae", "hidden": (8,), "latent_dim": 2, "binarise": how, **settings}
    return TrialConfig.model_validate(given)


@pytest.mark.parametrize("level", [1, 51, 128, 254])
def test_a_grey_level_is_the_share_of_white(level: int) -> None:
    drawn = binarising.drawn_once(grey(2_500, level), "val")  # chunks of 1,000 included
    assert drawn.images.dtype == torch.uint8
    assert binarising.is_binary(drawn.images)
    share = float((drawn.images == 255).double().mean())
    spread = math.sqrt(level / 255 * (1 - level / 255) / drawn.images.numel())
    assert share == pytest.approx(level / 255, abs=5 * spread)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_stay(level: int) -> None:
    split = grey(20, level)
    assert torch.equal(binarising.drawn_once(split, "test").images, split.images)


def test_what_is_drawn_once_is_always_the_same_and_another_for_each_split() -> None:
    split = grey(1_500, 128)
    first, again = (binarising.drawn_once(split, "test") for _ in range(2))
    assert torch.equal(first.images, again.images)
    other = binarising.drawn_once(split, "val").images
    assert float((first.images == other).double().mean()) == pytest.approx(0.5, abs=0.02)
    assert not torch.equal(first.images[:500], first.images[1_000:])


def test_the_draw_of_real_images_is_what_it_always_was() -> None:
    source = replace(datasets.open_source("digits"), binarise="static")
    prints = {name: split.fingerprint() for name, split in source.splits().items()}
    assert prints == PRINTS


PRINTS = {"train": "809f67fba6476137", "val": "b875b2f9bcf971de", "test": "3cb711bcd3623ab6"}


@pytest.mark.parametrize(("how", "binary"), [("none", []), ("dynamic", ["val", "test"])])
def test_which_splits_are_drawn(how: str, binary: list[str]) -> None:
    source = datasets.recorded_source(
        DataConfig.model_validate({"dataset": "digits", "binarise": how}), {}
    )
    splits = source.splits()
    assert [n for n, s in splits.items() if binarising.is_binary(s.images)] == binary
    seen = binarising.as_evaluated(splits["train"], source.binarise)
    assert binarising.is_binary(seen.images) == (how == "dynamic")


@pytest.mark.parametrize("backend", ["generator", "counter"])
def test_training_images_are_drawn_anew_each_step_from_the_seed(backend: Backend) -> None:
    images = grey(400, 51).images / 255

    def drawn(seed: int, step: int) -> torch.Tensor:
        return binarised(images, config("dynamic"), Streams(seed, CPU, backend), step)

    first = drawn(1, 7)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert float(first.mean()) == pytest.approx(0.2, abs=0.015)
    assert torch.equal(first, drawn(1, 7))
    for other in (drawn(1, 8), drawn(2, 7)):
        assert float((first == other).float().mean()) == pytest.approx(0.68, abs=0.02)
    assert binarised(images, config("static"), Streams(1, CPU, backend), 7) is images


def test_grey_validation_images_do_not_fit() -> None:
    data = TrialData(grey(30, 100), grey(10, 100))
    small = {"image_size": 8, "batch_size": 10}
    reason = misfit(config("dynamic", **small), data)
    assert reason == "binarise = 'dynamic', but the validation images are grey"
    drawn = replace(data, val=binarising.drawn_once(data.val, "val"))
    assert misfit(config("dynamic", **small), drawn) is None
