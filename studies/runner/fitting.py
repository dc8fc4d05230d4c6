"""How a study's configurations follow its data, and what is left out without labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from studies.definition import Objective
from studies.errors import InputError
from vae_trainables.config import TrialConfig

if TYPE_CHECKING:
    from vae_trainables.datasets import Facts

CONDITIONAL = "cond_conv_vae"
FROM_LABELS = {"probe": "a probe", "frechet": "the Fréchet distance, whose classifier"}
"""Evaluations that nothing is left of without labels."""


def fitted(config: TrialConfig, facts: Facts | None) -> dict[str, Any]:
    """The changes that make `config` fit the data: channels, image_size, num_classes.

    What the study file sets on purpose stays: a misfit is then found by the checks before the
    start. Without labels SupCon's weight becomes 0. `facts` None: defaults fit.
    """
    if facts is None:
        return {}
    channels, height, width = facts.shape
    follows: dict[str, Any] = {
        "channels": channels,
        "image_size": height if height == width else (height, width),
        "num_classes": max(2, len(facts.classes)),
    }
    changes = {name: v for name, v in follows.items() if name not in config.given}
    return changes | {"dataset": facts.name} | unlabelled(config, facts)


def unlabelled(config: TrialConfig, facts: Facts | None) -> dict[str, Any]:
    """What is held at a value because there are no labels, and therefore not searched."""
    if facts is None or facts.labelled:
        return {}
    return {"supcon_gamma": 0.0, "supcon_temperature": config.objective.supcon_temperature}


def check_labels(
    configs: Iterable[TrialConfig], objectives: Iterable[Objective], facts: Facts | None
) -> None:
    """Raise InputError for what needs labels where the data has none."""
    if facts is None or facts.labelled:
        return
    for config in configs:
        if config.model.kind == CONDITIONAL:
            raise InputError(
                f"{facts.name} has no labels, which {CONDITIONAL} is conditioned on: --set kind="
                "conv_vae, or label the images (a folder per class)"
            )
    for objective in objectives:
        if objective.evaluation in FROM_LABELS:
            raise InputError(
                f"{facts.name} has no labels, and {objective.metric} needs them: choose another "
                "--objective, a study that does not prune on it, or label the images"
            )


def remarks(config: TrialConfig, facts: Facts | None, shown: Iterable[str]) -> list[str]:
    """Sentences about the data for the console."""
    if facts is None:
        return []
    channels, height, width = facts.shape
    colour = "grey" if channels == 1 else "colour"
    classes = f"{len(facts.classes)} classes" if facts.labelled else "no labels"
    lines = [
        f"{facts.name}: {facts.images} training images, {height} × {width} {colour}, {classes}"
    ]
    if not facts.labelled:
        lines.append("without labels there are no SupCon, no probe and no figures by class")
    if facts.images < config.optimiser.batch_size:
        lines.append(f"{facts.images} training images are less than a batch: an epoch is one step")
    return lines + list(shown)
