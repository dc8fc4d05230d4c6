"""What a study may train is held against its data before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest
import torch

from studies import denoise_sweep, generation_sweep
from studies.definition import StudyDefinition
from studies.errors import InputError
from studies.runner import fitness
from studies.runner.planning import make_plan
from studies.runner.settings import Settings
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.evaluation import features


def split(channels: int = 1, side: int = 28, classes: int = 10, images: int = 20) -> Split:
    pixels = torch.zeros(images, channels, side, side, dtype=torch.uint8)
    return Split(pixels, torch.arange(images) % classes)


def data(**shape: int) -> TrialData:
    net = dict(features.FeatureNet().state_dict())
    return TrialData(split(**shape), split(**shape), None, net)


def study(
    reference: dict[str, Any] | None = None,
    companion: dict[str, Any] | None = None,
    suggested: dict[str, list[Any]] | None = None,
) -> StudyDefinition:
    """The denoising study with another reference, companion or choices in its space."""
    config = denoise_sweep.REFERENCE.model_copy(update=reference or {})
    companions = (config.model_copy(update=companion),) if companion else ()

    def space(trial: optuna.Trial) -> dict[str, Any]:
        return {
            name: trial.suggest_categorical(name, choices)
            for name, choices in (suggested or {}).items()
        }

    return replace(denoise_sweep.STUDY, reference=config, companions=companions, space=space)


def check(definition: StudyDefinition, given: TrialData, **flags: Any) -> None:
    fitness.check(make_plan(definition, Settings(**flags)), given)


@pytest.mark.parametrize("definition", [denoise_sweep.STUDY, generation_sweep.STUDY])
def test_our_own_studies_fit_their_data(definition: StudyDefinition) -> None:
    for objective in definition.objectives:
        check(definition, data(), objective=objective)


@pytest.mark.parametrize(
    ("definition", "shape", "message"),
    [
        (lambda: study({"channels": 3}), {}, "the reference .*channels = 3, .*images have 1"),
        (lambda: study({"image_size": 32}), {}, "the reference .*image_size = 32, .*28 x 28"),
        (lambda: study(), {"channels": 3}, "the reference .*channels = 1, .*images have 3"),
        (
            lambda: study({"kind": "cond_conv_vae", "num_classes": 2}),
            {},
            "the reference .*num_classes = 2, but the training labels are 0 to 9",
        ),
        (
            lambda: study(companion={"kind": "cond_conv_vae"}),
            {"classes": 12},
            "a companion .*num_classes = 10, but the training labels are 0 to 11",
        ),
        (
            lambda: study(suggested={"kind": ["conv_vae", "cond_conv_vae"]}),
            {"classes": 12},
            "a suggestion .*num_classes = 10",
        ),
        (
            lambda: study({"widths": (8,)}, suggested={"kind": ["conv_vae", "hier_conv_vae"]}),
            {},
            "a suggestion .*give at least 2",
        ),
        (
            lambda: study(suggested={"binarise": ["none", "static"]}),
            {},
            "a suggestion .*binarise = 'static', but a study has one, 'none'",
        ),
        (
            lambda: study(suggested={"dataset": ["fashion-mnist", "mnist"]}),
            {},
            "a suggestion .*dataset = 'mnist', but a study has one, 'fashion-mnist'",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(
    definition: Callable[[], StudyDefinition], shape: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        check(definition(), data(**shape))
    assert refusal.value.exit_code == 2
    assert "\n" not in str(refusal.value)


def test_a_figure_that_is_merely_left_out_is_refused_only_as_an_objective() -> None:
    single = data(classes=1)
    check(study({"evaluations": ("probe",)}), single)
    with pytest.raises(InputError, match=r"val/probe decides, but a probe takes 2 classes"):
        check(study(), single, objective="denoise,probe")
    pruned = replace(study(), prune_on=replace(study().prune_on, metric="val/active_units"))
    with pytest.raises(InputError, match=r"val/active_units decides, but the val split has 1"):
        check(pruned, data(images=1))


def test_each_shape_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[TrialConfig] = []
    monkeypatch.setattr(
        fitness, "_misfit", lambda plan, config, data, required: tried.append(config)
    )
    check(denoise_sweep.STUDY, data())
    assert len(tried) < 5
