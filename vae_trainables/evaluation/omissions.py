"""Figures that cannot be computed on some data: left out, with a reason, so that the trial lives.

They depend on the data and the configuration alone, never on the model: who asks before a trial
starts hears what its records will lack.
"""

from __future__ import annotations

from vae_trainables import kinds
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split
from vae_trainables.evaluation import features
from vae_trainables.evaluation.representation import NEIGHBOURS

LEAST_CODES = 2
"""Images over which there is a variance: of codes, or of features."""


def omitted(config: TrialConfig, train: Split, split: Split, name: str) -> dict[str, str]:
    """Figures of `split` (`name` is val or test) that are left out, and why.

    train: the training images that probes are fitted on. Only what `config` asks for is listed.
    """
    reasons = {}
    probes = {"probe", "knn"} if name == "test" else {"probe"} & set(config.evaluation.extras)
    few = f"the {name} split has {len(split)} image, and it takes {LEAST_CODES}"
    if len(split) < LEAST_CODES:
        reasons["active_units"] = few
    if not kinds.kind(config.model.kind).latent:
        reasons["active_units"] = f"{config.model.kind} has no codes"
    if probes and (reason := _no_probe(config, train)):
        reasons |= dict.fromkeys(sorted(probes), reason)
    elif "knn" in probes and len(train) < NEIGHBOURS:
        reasons["knn"] = f"it takes {NEIGHBOURS} training images, and there are {len(train)}"
    if name == "val" and "frechet" in config.evaluation.extras and config.model.variational:
        reason = features.unfit(train) or (few if len(split) < LEAST_CODES else None)
        if reason:
            reasons["frechet"] = reason
    return reasons


def _no_probe(config: TrialConfig, train: Split) -> str | None:
    """Why no classifier can be fitted on codes."""
    if not kinds.kind(config.model.kind).latent:
        return f"{config.model.kind} has no codes"
    if config.model.conditional and (reason := features.unfit(train)):
        return f"the codes of {config.model.kind} take predicted classes, and {reason}"
    if not train.labelled:
        return "a probe takes labels, and there are none"
    if len(train.labels.unique()) > 1:
        return None
    return f"a probe takes 2 classes, and the {len(train)} training images are of one"


def unmeasured(config: TrialConfig, metric: str) -> str | None:
    """Why a trial of `config` never measures `metric`, whatever the data; None if it does."""
    conditions = {
        "val/probe": ("probe" in config.evaluation.extras, "evaluations name 'probe'"),
        "val/frechet": (
            "frechet" in config.evaluation.extras and config.model.variational,
            "evaluations name 'frechet' and the model is variational",
        ),
        "val/supcon": (config.objective.supcon_gamma > 0, "supcon_gamma is above 0"),
    }
    measured, where = conditions.get(metric, (True, ""))
    return None if measured else f"it is measured only where {where}"
