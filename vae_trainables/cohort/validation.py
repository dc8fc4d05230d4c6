"""The validation figures of all slots in one go, the costlier extras of a trial excepted."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_trainables.cohort.bank import Bank
from vae_trainables.cohort.models import Forward
from vae_trainables.config import TrialConfig
from vae_trainables.evaluation.evaluator import BATCH, Evaluator, measure_batch
from vae_trainables.models import ModelOutput
from vae_trainables.objective import likelihoods
from vae_trainables.training.trial import Trial


class StackedValidation:
    """Validates slots together. Not for likelihoods whose nats of an image depend on the batch."""

    def __init__(
        self,
        bank: Bank,
        forward: Forward,
        evaluator: Evaluator,
        config: TrialConfig,
        *,
        latent_dim: int,
    ) -> None:
        """config: for what all slots share; latent_dim: columns of the stacked latent."""
        self.bank, self.forward, self.evaluator = bank, forward, evaluator
        self.config, self.latent_dim = config, latent_dim
        self._eps: dict[int, Tensor] = {}

    @torch.inference_mode()
    def __call__(self, trials: Mapping[int, Trial]) -> dict[int, dict[str, float]]:
        """By slot what `Evaluator.validate` would say of each of `trials`, without the extras."""
        config = self.config
        likelihood = likelihoods.build(config)
        clean, noisy = self.evaluator.images(
            "val", config.eval_noise_kind, config.eval_noise_factor
        )
        eps = self._stacked_eps(trials, len(clean)) if config.variational else None
        sums: dict[str, Tensor] = {}
        codes = []
        for start in range(0, len(clean), BATCH):
            part = slice(start, start + BATCH)
            targets = self._per_slot(clean[part]).flatten(0, 1)
            at_mean = sampled = self._flat(noisy[part])
            if eps is not None:
                sampled = self._flat(noisy[part], eps[:, part])
            per_image, z_mean = measure_batch(at_mean, sampled, likelihood, targets)
            codes.append(z_mean.unflatten(0, (self.bank.slots, -1)))
            for name, values in per_image.items():
                total = values.view(self.bank.slots, -1).double().sum(1)
                sums[name] = sums.get(name, torch.zeros_like(total)) + total
        means = {name: (total / len(clean)).tolist() for name, total in sums.items()}
        z_means = torch.cat(codes, dim=1)
        found = {}
        for slot, trial in trials.items():
            own = {name: values[slot] for name, values in means.items()}
            own |= self.evaluator.code_figures(z_means[slot], trial.config, "val")
            found[slot] = {f"val/{name}": value for name, value in own.items()}
        return found

    def _flat(self, noisy: Tensor, eps: Tensor | None = None) -> ModelOutput:
        """All slots on the same images (B, C, H, W), as one batch (K * B, ...)."""
        output = self.forward(self.bank.parameters, self._per_slot(noisy), eps, None)
        return ModelOutput(*(part.flatten(0, 1) for part in output))

    def _per_slot(self, images: Tensor) -> Tensor:
        return images.expand(self.bank.slots, *images.shape)

    def _stacked_eps(self, trials: Mapping[int, Trial], count: int) -> Tensor:
        """The evaluation's fixed latent sample in each slot's width, (K, count, D)."""
        device = self.bank.flat.device
        rows = [torch.zeros(count, self.latent_dim, device=device)] * self.bank.slots
        for slot, trial in trials.items():
            width = trial.noise_dim
            if width not in self._eps:
                drawn = self.evaluator.latents(count, width)
                self._eps[width] = F.pad(drawn, (0, self.latent_dim - width))
            rows[slot] = self._eps[width]
        return torch.stack(rows)
