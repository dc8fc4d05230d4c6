"""The classes of noisy images, predicted: for models that are told a class where nobody knows it.

The feature net's layers, trained on images with the noise that models are judged on. Only training
images are looked at, so a predicted class gives nothing of the judged split away.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vae_trainables.checkpoint import CheckpointError
from vae_trainables.config import NoiseKind, stable_hash
from vae_trainables.datasets import noise
from vae_trainables.datasets.sources import cache_folder
from vae_trainables.datasets.splits import Split
from vae_trainables.evaluation import features
from vae_trainables.evaluation.features import FeatureNet, TrainedNet
from vae_trainables.numerics.precision import arithmetic

CLEAN_SHARE = 0.25  # of each batch: codes are of clean images, whose classes are predicted too
VERSION = 1  # goes into the cache's key: raise it when the same settings give another net
_BATCH = 500

log = logging.getLogger(__name__)


def noisy_classifier(
    split: Split, kind: NoiseKind, factor: float, *, folder: Path | None = None
) -> TrainedNet:
    """The classifier of `split` under that noise: from the user's cache, else trained.

    Its accuracy is that on noisy images which it was not trained on. About a minute of one CPU
    thread for 55,000 images; the same split and noise, the same weights.

    Raises:
        ValueError: fewer than 10 images.
        OSError: a newly trained net cannot be written.
    """
    key = stable_hash([VERSION, features.VERSION, split.fingerprint(), kind, factor])
    path = (folder or cache_folder("classifiers")) / f"{key}.safetensors"
    if path.exists():
        try:
            return features.load(path, tuple(split.images.shape[1:]))
        except CheckpointError as error:
            log.warning("%s: training the classifier again", error)
    trained = train(split, kind, factor)
    features.save(path, trained)
    return trained


def train(split: Split, kind: NoiseKind, factor: float) -> TrainedNet:
    """Train it; see `noisy_classifier`."""

    def disturbed(images: Tensor, generator: torch.Generator) -> Tensor:
        clean = torch.rand(len(images), 1, 1, 1, generator=generator) < CLEAN_SHARE
        return torch.where(clean, images, _corrupted(images, kind, factor, generator))

    net = features.train_feature_net(split, disturb=disturbed).net
    held_back = len(split) - len(split) // features.HELD_BACK
    images = split.images[held_back:].float() / 255
    noisy = _corrupted(images, kind, factor, torch.Generator().manual_seed(1))
    right = predict(net, noisy) == split.labels[held_back:]
    return TrainedNet(net, float(right.double().mean()))


def _corrupted(
    images: Tensor, kind: NoiseKind, factor: float, generator: torch.Generator
) -> Tensor:
    draw = torch.randn if noise.random_kind(kind) == "normal" else torch.rand
    return noise.corrupt(kind, images, factor, draw(images.shape, generator=generator))


class Predictor:
    """Predicts classes with the weights that a trial's data brings, if it brings any."""

    def __init__(
        self, state: Mapping[str, Tensor] | None, shape: tuple[int, ...], device: torch.device
    ) -> None:
        """shape: (C, H, W) of the images."""
        self._net = None
        if state is not None:
            self._net = FeatureNet.from_state(dict(state), shape).to(device)

    def __call__(self, images: Tensor, classes: int) -> Tensor:
        """As `predict`; ValueError without weights."""
        if self._net is None:
            raise ValueError(
                "predicting the classes that a conditional model is told needs a classifier in the "
                "trial's data: see vae_trainables.evaluation.classifier"
            )
        with arithmetic("fp32", images.device):
            return predict(self._net, images, classes)


def predict(net: FeatureNet, images: Tensor, classes: int | None = None) -> Tensor:
    """Most likely class of each image `(N, C, H, W)` in [0, 1], int64 `(N,)`.

    classes: how many there are to choose from, where that is fewer than the net knows.
    """
    parts = images.split(_BATCH)
    with torch.no_grad():
        return torch.cat([net(part)[:, :classes].argmax(1) for part in parts])
