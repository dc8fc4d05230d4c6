"""The representation probe of all slots at once, on their device (`evaluation.stacked_probe`)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property

import torch
from torch import Tensor

from vae_trainables.cohort.bank import Bank
from vae_trainables.cohort.models import Forward
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split
from vae_trainables.errors import in_one_line
from vae_trainables.evaluation import stacked_probe
from vae_trainables.evaluation.evaluator import BATCH, EPOCH_PROBE_IMAGES, Evaluator, as_float
from vae_trainables.models import Autoencoder
from vae_trainables.numerics.precision import arithmetic
from vae_trainables.training.session import is_out_of_memory

Seen = tuple[Split, Tensor | None]
"""Images, and the classes that a conditional model is told of them."""


class StackedProbe:
    """Accuracies by slot; none where they cannot be had so, and members measure their own."""

    def __init__(
        self,
        bank: Bank,
        forward: Forward,
        template: Autoencoder,
        evaluator: Evaluator,
        config: TrialConfig,
        say: Callable[[str], None],
    ) -> None:
        """forward: in full precision. say: hears in a line what fails."""
        self.bank, self.forward, self.template = bank, forward, template
        self.evaluator, self.config, self.say = evaluator, config, say
        probed = "probe" in config.evaluation.extras
        self.able = probed and "probe" not in evaluator.omitted(config, "val")

    def __call__(self, slots: Collection[int]) -> dict[int, float]:
        """By slot; without a slot whose codes are not finite. The template must be in eval mode."""
        if not self.able or not slots:
            return {}
        try:
            values = self._accuracies().tolist()
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self.able = False
            self.say(f"the stacked probe failed ({in_one_line(error)}): one by one, slower")
            return {}
        return {slot: values[slot] for slot in slots if values[slot] == values[slot]}

    @torch.no_grad()
    def _accuracies(self) -> Tensor:
        (train, _), (val, _) = self._images
        with arithmetic("fp32", self.evaluator.device):
            codes = [self._codes(*seen) for seen in self._images]
        labels = (part.labels.to(self.evaluator.device) for part in (train, val))
        return stacked_probe.accuracies(codes[0], next(labels), codes[1], next(labels))

    def _codes(self, split: Split, classes: Tensor | None) -> Tensor:
        """z_mean of all slots, (K, N, D)."""
        parts = (slice(start, start + BATCH) for start in range(0, len(split), BATCH))
        return torch.cat([self._codes_of(split, classes, part) for part in parts], dim=1)

    def _codes_of(self, split: Split, classes: Tensor | None, part: slice) -> Tensor:
        images = as_float(split.images[part].to(self.evaluator.device))
        labels = None if classes is None else self._per_slot(classes[part])
        return self.forward(self.bank.tensors, self._per_slot(images), None, labels).z_mean

    def _per_slot(self, values: Tensor) -> Tensor:
        return values.expand(self.bank.slots, *values.shape)

    @cached_property
    def _images(self) -> tuple[Seen, Seen]:
        """What probes are fitted on, and what they predict."""
        conditional = self.template.conditional
        train = self.evaluator.probed(self.config, "train", conditional, EPOCH_PROBE_IMAGES)
        return train, self.evaluator.probed(self.config, "val", conditional)
