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
from studies.tracker import names

if TYPE_CHECKING:
    from vae_trainables.config import TrialConfig
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
    config: TrialConfig
    model: Autoencoder
    likelihood: Likelihood

    def denoise(self, noisy: Pixels, labels: NDArray[np.int64] | None = None) -> Floats:
        """Reconstructions from the latent mean, `(N, C, H, W)` in [0, 1], of uint8 images.

        `labels` `(N,)` reach models that are told the class, as when they are evaluated.
        """
        import torch

        from vae_trainables.evaluation import evaluator as evaluation

        images = evaluation.as_float(torch.from_numpy(noisy))
        told = torch.from_numpy(labels) if labels is not None and self.conditional else None
        return evaluation.denoise(self.model, self.likelihood, images, told).numpy()

    @property
    def conditional(self) -> bool:
        """Whether the model is told the class of what it encodes."""
        return self.config.kind.startswith("cond_")

    def codes(self, images: Pixels) -> Floats:
        """z_mean `(N, D)` of uint8 images."""
        import torch

        from vae_trainables.evaluation import evaluator as evaluation

        return evaluation.encode(self.model, torch.from_numpy(images)).numpy()

    def decode(self, codes: Floats) -> Floats:
        """Images `(N, C, H, W)` in [0, 1] of codes `(N, D)`."""
        import torch

        with torch.inference_mode():
            logits = self.model.decode(torch.from_numpy(np.ascontiguousarray(codes)))
            return self.likelihood.mean(logits).numpy()

    def samples(self, count: int, seed: int = 0) -> Floats:
        """`count` draws from the prior, `(count, C, H, W)` in [0, 1]."""
        import torch

        eps = torch.randn(
            count, self.model.noise_dim, generator=torch.Generator().manual_seed(seed)
        )
        with torch.inference_mode():
            return self.likelihood.mean(self.model.sample(eps)).numpy()


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
    from vae_trainables.inference import rebuild
    from vae_trainables.source import SourceError

    try:
        sources.adopt(tracker, run_id)
        return TrainedModel(trial, *rebuild(weights, config))
    except (CheckpointError, SourceError) as error:
        message = str(error).splitlines()[0]
        raise WeightsError(f"the weights of trial {trial} cannot be used: {message}") from error
