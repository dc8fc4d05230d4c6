"""Trained models out of the tracker, rebuilt on the CPU; numpy in, numpy out.

Torch is imported on first use only: a report without weights does not need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.models import sources
from analysis.tracker.client import Tracker, TrackerError
from analysis.tracker.runs import CLASS_SOURCES
from studies.tracker import names

if TYPE_CHECKING:
    from torch import Tensor

    from vae_trainables.config import TrialConfig
    from vae_trainables.inference import Denoiser
    from vae_trainables.models import Autoencoder
    from vae_trainables.objective.likelihoods import Likelihood

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


class WeightsError(Exception):
    """A run's weights that cannot be used: absent, damaged, or of another version."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trial's model as it was at its last epoch."""

    trial: str
    denoiser: Denoiser

    @property
    def config(self) -> TrialConfig:
        """The trial's configuration."""
        return self.denoiser.config

    @property
    def model(self) -> Autoencoder:
        """Its network."""
        return self.denoiser.model

    @property
    def likelihood(self) -> Likelihood:
        """Turns its logits into images."""
        return self.denoiser.likelihood

    @property
    def has_codes(self) -> bool:
        """False for a model without a latent, such as a U-Net: nothing to probe, walk or sample."""
        return self.model.noise_dim > 0

    @property
    def conditional(self) -> bool:
        """Whether the model is told the class of what it encodes."""
        return self.denoiser.conditional

    @property
    def class_note(self) -> str:
        """Where a conditional model has the classes of what it denoises; empty for others."""
        if not self.conditional:
            return ""
        return CLASS_SOURCES[self.config.evaluation.class_source]

    def told(self, noisy: Tensor, labels: NDArray[np.int64] | None) -> Tensor | None:
        """The classes `(N,)` of float images as the trial's `class_source` has them."""
        given = self.conditional and self.config.evaluation.class_source == "given"
        return self.denoiser.classes(noisy, labels if given else None)

    def denoise(self, noisy: Pixels, labels: NDArray[np.int64] | None = None) -> Floats:
        """Reconstructions from the latent mean, `(N, C, H, W)` in [0, 1], of uint8 images.

        `labels` `(N,)` reach models that are told the true class when they are evaluated.
        """
        import torch

        from vae_trainables.evaluation import evaluator as evaluation

        images = evaluation.as_float(torch.from_numpy(noisy))
        classes = self.told(images, labels)
        return evaluation.denoise(self.model, self.likelihood, images, classes).numpy()

    def neg_elbo(self, images: Pixels, noisy: Pixels, labels: NDArray[np.int64]) -> Floats:
        """−ELBO of each clean image given its noisy version, nats, `(N,)`; uint8 `(N, C, H, W)`.

        By a fixed draw of the latent, as trials are evaluated; of an autoencoder, its loss.
        """
        import torch

        from vae_trainables.evaluation import evaluator as evaluation
        from vae_trainables.numerics.streams import EVALUATION_SEED, Streams

        clean, seen = (evaluation.as_float(torch.from_numpy(batch)) for batch in (images, noisy))
        classes, eps = self.told(seen, labels), None
        if self.config.model.variational:
            streams = Streams(EVALUATION_SEED, torch.device("cpu"))
            eps = streams.normal("latent", 0, (len(clean), self.model.noise_dim))
        with torch.inference_mode():
            likelihood = evaluation.settled(
                self.likelihood, self.config, self.model, clean, seen, eps, classes
            )
            at_mean, drawn = self.model.at_mean_and_draw(seen, eps, classes)
            figures, _ = evaluation.measure_batch(at_mean, drawn, likelihood, clean)
        return figures["neg_elbo"].numpy()

    def codes(self, images: Pixels) -> Floats:
        """z_mean `(N, D)` of uint8 images; a conditional model is told predicted classes."""
        return self.denoiser.encode(images)

    def decode(self, codes: Floats, labels: NDArray[np.int64] | None = None) -> Floats:
        """Images `(N, C, H, W)` in [0, 1] of codes `(N, D)`, as those classes if it is told any."""
        import torch

        with torch.inference_mode():
            classes = torch.from_numpy(labels) if self.conditional and labels is not None else None
            logits = self.model.decode(torch.from_numpy(np.ascontiguousarray(codes)), classes)
            return self.likelihood.mean(logits).numpy()

    def samples(self, count: int, seed: int = 0) -> Floats:
        """`count` draws from the prior, `(count, C, H, W)` in [0, 1]; of the classes in turn."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        eps = torch.randn(count, self.model.noise_dim, generator=generator)
        classes = torch.arange(count) % self.config.model.num_classes if self.conditional else None
        with torch.inference_mode():
            return self.likelihood.mean(self.model.sample(eps, classes)).numpy()


def load(tracker: Tracker, run_id: str, trial: str) -> TrainedModel:
    """The model of a run; raises WeightsError with one line if it cannot be had."""
    try:
        weights = tracker.artifact(run_id, names.WEIGHTS_FILE)
        config = tracker.artifact(run_id, names.CONFIG_FILE)
    except TrackerError as error:
        raise WeightsError(f"the weights of trial {trial} cannot be read: {error}") from error
    if weights is None:
        raise WeightsError(f"trial {trial} has no {names.WEIGHTS_FILE} in the tracker")
    from vae_trainables.checkpoint import CheckpointError
    from vae_trainables.inference import Denoiser
    from vae_trainables.source import SourceError

    try:
        sources.adopt(tracker, run_id)
        denoiser = Denoiser.load(weights, config)
    except (CheckpointError, SourceError) as error:
        message = str(error).splitlines()[0]
        raise WeightsError(f"the weights of trial {trial} cannot be used: {message}") from error
    if denoiser.conditional and denoiser.classifier is None:
        raise WeightsError(
            f"trial {trial} is told classes, and its weights brought no classifier to predict them"
        )
    return TrainedModel(trial, denoiser)
