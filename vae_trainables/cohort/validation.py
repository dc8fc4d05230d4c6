"""The validation figures of all slots in one go, the costlier extras of a trial excepted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap

from vae_trainables import metrics
from vae_trainables.cohort.bank import Bank
from vae_trainables.cohort.models import Forward
from vae_trainables.cohort.objective import Numbers, slot_likelihood
from vae_trainables.cohort.vectors import SlotVectors
from vae_trainables.config import TrialConfig
from vae_trainables.evaluation.evaluator import BATCH, Evaluator, measure_batch
from vae_trainables.models import Autoencoder, ModelOutput
from vae_trainables.training.trial import Trial

Figures = tuple[dict[str, Tensor], Tensor]


class StackedValidation:
    """Validates slots together, models of any kind and likelihood."""

    def __init__(
        self,
        bank: Bank,
        forward: Forward,
        template: Autoencoder,
        vectors: SlotVectors,
        evaluator: Evaluator,
        config: TrialConfig,
        probe: Callable[[Collection[int]], dict[int, float]] | None = None,
    ) -> None:
        """config: for what all slots share. template: of `forward`, whose mode is changed.

        probe: accuracies by slot, as of `StackedProbe`; None leaves the probe to the members.
        """
        self.probe = probe
        self.bank, self.forward, self.template = bank, forward, template
        self.vectors, self.evaluator, self.config = vectors, evaluator, config
        self._eps: dict[int, Tensor] = {}

    def __call__(self, trials: Mapping[int, Trial]) -> dict[int, dict[str, float]]:
        """By slot what `Evaluator.validate` would say of each of `trials`, without the extras."""
        self.template.eval()
        try:
            means, z_means = self._measure(trials)
            probes = self.probe(trials) if self.probe else {}
        finally:
            self.template.train()
        figures = {}
        for slot, trial in trials.items():
            own = {name: values[slot] for name, values in means.items()}
            codes = z_means[slot, :, : trial.noise_dim]
            own |= self.evaluator.code_figures(codes, trial.now, "val")
            own |= {"probe": probes[slot]} if slot in probes else {}
            figures[slot] = {f"val/{name}": value for name, value in own.items()}
        return figures

    @torch.no_grad()
    def _measure(self, trials: Mapping[int, Trial]) -> tuple[dict[str, list[float]], Tensor]:
        """Means over the images by figure and slot, and the codes (K, N, D)."""
        config, likelihood = self.config, self.vectors.part("likelihood")
        clean, _ = self.evaluator.images(
            "val", config.evaluation.noise_kind, config.evaluation.noise_factor
        )
        eps = self._stacked_eps(trials, len(clean)) if config.model.variational else None
        mse = self._mse(eps) if "sigma" in likelihood else torch.ones_like(self.bank.steps)
        sums: dict[str, Tensor] = {}
        codes = []
        for part in _parts(len(clean)):
            at_mean = sampled = self._output(part, None)
            if eps is not None:
                sampled = self._output(part, eps[:, part])
            measure = vmap(_measure_slot, in_dims=(0, 0, 0, 0, None))
            per_image, z_mean = measure(at_mean, sampled, likelihood, mse, clean[part])
            codes.append(z_mean)
            for name, values in per_image.items():
                sums[name] = sums.get(name, 0) + values.double().sum(1)
        means = {name: (total / len(clean)).tolist() for name, total in sums.items()}
        return means, torch.cat(codes, dim=1)

    def _mse(self, eps: Tensor | None) -> Tensor:
        """Of each slot's reconstructions of the whole split, from which σ is settled; (K,)."""
        config, likelihood = self.config, self.vectors.part("likelihood")
        clean, _ = self.evaluator.images(
            "val", config.evaluation.noise_kind, config.evaluation.noise_factor
        )
        total = torch.zeros_like(self.bank.steps, dtype=torch.float64)
        errors = vmap(_squared_errors, in_dims=(0, 0, None))
        for part in _parts(len(clean)):
            output = self._output(part, None if eps is None else eps[:, part])
            total += errors(output.logits, likelihood, clean[part]).double().sum(1)
        return total / len(clean)

    def _output(self, part: slice, eps: Tensor | None) -> ModelOutput:
        """All slots on the same noisy images, (K, B, ...)."""
        config = self.config
        _, noisy = self.evaluator.images(
            "val", config.evaluation.noise_kind, config.evaluation.noise_factor
        )
        labels = self.evaluator.condition(self.template, config, "val")
        if labels is not None:
            labels = self._per_slot(labels[part])
        return self.forward(self.bank.tensors, self._per_slot(noisy[part]), eps, labels)

    def _per_slot(self, values: Tensor) -> Tensor:
        return values.expand(self.bank.slots, *values.shape)

    def _stacked_eps(self, trials: Mapping[int, Trial], count: int) -> Tensor:
        """The evaluation's fixed latent sample in each slot's width, (K, count, D)."""
        device, widest = self.bank.flat.device, self.vectors.latent_mask.shape[1]
        rows = [torch.zeros(count, widest, device=device)] * self.bank.slots
        for slot, trial in trials.items():
            width = trial.noise_dim
            if width not in self._eps:
                drawn = self.evaluator.latents(count, width)
                self._eps[width] = F.pad(drawn, (0, widest - width))
            rows[slot] = self._eps[width]
        return torch.stack(rows)


def _measure_slot(
    at_mean: ModelOutput, sampled: ModelOutput, numbers: Numbers, mse: Tensor, clean: Tensor
) -> Figures:
    return measure_batch(at_mean, sampled, slot_likelihood(numbers).settled(mse), clean)


def _squared_errors(logits: Tensor, numbers: Numbers, clean: Tensor) -> Tensor:
    return metrics.mse(slot_likelihood(numbers).mean(logits), clean)


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + BATCH) for start in range(0, max(count, 1), BATCH))
