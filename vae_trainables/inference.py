"""A trained model in use: arrays of images in, clean images or codes out, numpy on both sides.

A published model carries this package with it, so nothing here knows a data set or a tracker.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vae_trainables import checkpoint, models
from vae_trainables.checkpoint import CheckpointError
from vae_trainables.config import TrialConfig
from vae_trainables.evaluation import evaluator as evaluation
from vae_trainables.evaluation.classifier import predict
from vae_trainables.evaluation.features import FeatureNet
from vae_trainables.models import Autoencoder
from vae_trainables.objective import likelihoods
from vae_trainables.objective.likelihoods import Likelihood

Floats = NDArray[np.float32]
ROUNDING = 1e-6  # how far outside [0, 1] a float may lie that was computed to be inside


class ImagesError(ValueError):
    """Images that the model cannot take; the message names what was given and what is wanted."""


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A model with its likelihood, on the CPU, ready to be used by several threads."""

    config: TrialConfig
    model: Autoencoder
    likelihood: Likelihood
    classifier: FeatureNet | None = None
    """Predicts the classes that a conditional model is told, where the caller gives none."""

    @classmethod
    def load(cls, weights: Path, config: Path | None = None) -> Denoiser:
        """From `weights.safetensors`, and `config.json` in place of the configuration inside it.

        Raises CheckpointError if either is damaged, or if they do not belong together.
        """
        return cls(*rebuild(weights, config))

    @property
    def conditional(self) -> bool:
        """Whether the model is told the class of an image."""
        return self.model.conditional

    def denoise(self, images: Any, labels: Any = None) -> Floats:
        """Clean images in [0, 1], shaped as given, decoded from the latent mean.

        Takes `(N, H, W)` (one channel) or `(N, C, H, W)`: floats in [0, 1], or uint8. A conditional
        model is told the classes `labels` `(N,)`; without them they are predicted from the images.
        Raises ImagesError for anything else.
        """
        array = np.asarray(images)
        batch = self.as_batch(array)
        classes = self.classes(batch, labels)
        clean = evaluation.denoise(self.model, self.likelihood, batch, classes)
        return clean.numpy().reshape(array.shape)

    @torch.inference_mode()
    def encode(self, images: Any, labels: Any = None) -> Floats:
        """Codes: the latent mean `(N, D)` of images and labels as `denoise` takes them."""
        batch = self.as_batch(np.asarray(images))
        classes = self.classes(batch, labels)
        codes = []
        for start in range(0, max(len(batch), 1), evaluation.BATCH):
            part = slice(start, start + evaluation.BATCH)
            part_classes = None if classes is None else classes[part]
            codes.append(self.model.encode(batch[part], part_classes)[0])
        return torch.cat(codes).numpy()

    def classes(self, batch: Tensor, labels: Any = None) -> Tensor | None:
        """What the model is told of `batch` `(N, C, H, W)`: int64 `(N,)`, None if it is told none.

        Raises ImagesError for labels that do not fit, and without labels where the weights brought
        no classifier to predict them.
        """
        if labels is not None:
            return self._given(labels, len(batch))
        if not self.conditional:
            return None
        if self.classifier is None:
            raise ImagesError(
                f"{self.config.model.kind} is told the class of every image, and its weights "
                "brought no classifier: give the labels"
            )
        return predict(self.classifier, batch, self.config.model.num_classes)

    def _given(self, labels: Any, count: int) -> Tensor:
        if not self.conditional:
            raise ImagesError(f"{self.config.model.kind} takes no labels: it is told no classes")
        array, most = np.asarray(labels), self.config.model.num_classes
        fits = array.shape == (count,) and array.dtype.kind in "iu"
        if not fits or (count and not 0 <= array.min() <= array.max() < most):
            raise ImagesError(
                f"expected {count} labels, whole numbers from 0 to {most - 1}, got "
                f"{array.dtype} of shape {array.shape}: {array.ravel()[:5].tolist()}"
            )
        return torch.from_numpy(array.astype(np.int64))

    def as_batch(self, images: NDArray[Any]) -> Tensor:
        """Images as the model wants them: float32 `(N, C, H, W)` in [0, 1]."""
        shape = self._batch_shape(images.shape)
        return torch.from_numpy(_as_floats(images)).reshape(shape)

    def _batch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        image = channels, height, width = self.config.model.image_shape
        if shape[1:] == image or (channels == 1 and shape[1:] == image[1:]):
            return (shape[0], *image)
        short = f"(N, {height}, {width}) or " if channels == 1 else ""
        raise ImagesError(
            f"expected images of shape {short}(N, {channels}, {height}, {width}), got {shape}"
        )


def _classifier(tensors: dict[str, Tensor], shape: tuple[int, ...]) -> FeatureNet | None:
    prefix = "classifier/"
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return FeatureNet.from_state(state, shape) if state else None


def _as_floats(images: NDArray[Any]) -> Floats:
    # Both are copies, since torch wants memory that it may write to.
    if images.dtype == np.uint8:
        return evaluation.as_float(torch.from_numpy(np.array(images))).numpy()
    try:
        floats = np.array(images, np.float32)
    except (TypeError, ValueError) as error:
        raise ImagesError(f"expected an array of numbers, got one that is not ({error})") from error
    if not floats.size:
        return floats
    low, high = float(floats.min()), float(floats.max())
    if low >= -ROUNDING and high <= 1 + ROUNDING:  # false for NaN too
        return floats.clip(0, 1)
    raise ImagesError(
        f"expected values in [0, 1] (or uint8), got {images.dtype} from {low:g} to {high:g}: "
        "scale or clip them first"
    )


def rebuild(
    weights: Path, config: Path | None
) -> tuple[TrialConfig, Autoencoder, Likelihood, FeatureNet | None]:
    """A trained model, ready to be used, and what belongs to it; as `Denoiser.load` has it."""
    tensors, meta = checkpoint.read_tensors(weights)
    prefix = "model/"
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    try:
        settings = json.loads(config.read_text("utf-8")) if config is not None else meta["config"]
        trial = TrialConfig.model_validate(settings)
        model = models.build(trial.model)
        model.load_state_dict(state)
        predictor = _classifier(tensors, trial.model.image_shape)
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(f"{weights}: not the weights of its model ({first})") from error
    return trial, model.eval(), likelihoods.build(trial.model), predictor
