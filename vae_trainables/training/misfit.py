"""Whether a configuration can be trained on some data at all, asked before a trial is started."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from vae_trainables import kinds, models
from vae_trainables.config import ModelConfig, TrialConfig
from vae_trainables.datasets.binarising import is_binary
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.evaluation.omissions import unmeasured


def misfit(config: TrialConfig, data: TrialData, required: Iterable[str] = ()) -> str | None:
    """Why trials of `config` would fail on `data`, in one line; None if nothing speaks against it.

    required: metrics without which a trial is worth nothing, such as the objective (`val/probe`).
    Takes milliseconds: the model is built without its weights.
    """
    splits = {"training": data.train, "validation": data.val, "test": data.test}
    for name, split in splits.items():
        if split is not None and (reason := _split_misfit(config.model, name, split)):
            return reason
    if config.data.binarise != "none" and not is_binary(data.val.images):
        return f"binarise = {config.data.binarise!r}, but the validation images are grey"
    gamma, kind = config.objective.supcon_gamma, config.model.kind
    if gamma > 0 and not kinds.kind(kind).latent:
        return f"supcon_gamma = {gamma}, but {kind} has no codes to compare"
    return _model_misfit(config) or _figure_misfit(config, data, required)


def _split_misfit(model: ModelConfig, name: str, split: Split) -> str | None:
    if not len(split):
        return f"the {name} split has no images"
    channels, height, width = split.images.shape[1:]
    if model.channels != channels:
        return f"channels = {model.channels}, but the {name} images have {channels}"
    if (height, width) != model.image_shape[1:]:
        return (
            f"image_size = {model.image_size}, but the {name} images are {height} x {width} pixels"
        )
    return _label_misfit(model, name, split)


def _label_misfit(model: ModelConfig, name: str, split: Split) -> str | None:
    """Classes matter to a model that is told them; to probes and SupCon any number will do."""
    least, most = int(split.labels.min()), int(split.labels.max())
    if model.conditional and (least < 0 or most >= model.num_classes):
        return (
            f"num_classes = {model.num_classes}, but the {name} labels are {least} to {most}: "
            f"{model.kind} needs a class for each"
        )
    return None


def _model_misfit(config: TrialConfig) -> str | None:
    try:
        with torch.device("meta"):
            models.build(config.model)
    except (ValueError, RuntimeError) as error:
        return (str(error).splitlines() or [""])[0]
    return None


def _figure_misfit(config: TrialConfig, data: TrialData, required: Iterable[str]) -> str | None:
    omitted = Evaluator(data, torch.device("cpu")).omitted(config, "val")
    for metric in required:
        reason = unmeasured(config, metric) or omitted.get(metric.removeprefix("val/"))
        if reason:
            return f"{metric} decides, but {reason}"
    return None
