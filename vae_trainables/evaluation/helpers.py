"""The small trained nets that an evaluation leans on, added to a trial's data where it does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation import classifier, features


def with_helpers(data: TrialData, configs: Iterable[TrialConfig]) -> TrialData:
    """`data` with the nets that trials of `configs` need: from the user's cache, else trained.

    The feature net where a Fréchet distance is asked for, and the classifier of noisy images where
    a model is told classes. A study judges all its trials on one noise.
    """
    configs = list(configs)
    frechet = any("frechet" in config.evaluation.extras for config in configs)
    if frechet and features.unfit(data.train) is None:  # else the figure is left out, with a note
        data = replace(data, feature_net=features.feature_net(data.train).net.state_dict())
    conditional = next((config for config in configs if config.model.conditional), None)
    if conditional is not None and features.unfit(data.train) is None:
        kind, factor = conditional.evaluation.noise_kind, conditional.evaluation.noise_factor
        net = classifier.noisy_classifier(data.train, kind, factor).net
        data = replace(data, classifier=net.state_dict())
    return data
