"""Grey images as black and white ones: a grey level is the probability of a white pixel.

The convention of published densities of MNIST, where a Bernoulli decoder is then a likelihood in
nats of what was observed (Salakhutdinov & Murray 2008).

- `static`: every image is drawn once. Larochelle & Murray 2011 published such a draw of MNIST;
  this is another.
- `dynamic`: training images are drawn anew each time they are trained on, once per epoch;
  validation and test images once, as in the code of VampPrior and Exemplar VAE.

What is drawn once has the seed of every evaluation, never a trial's: all trials of all studies see
the same images. What is drawn in training has the trial's seed and the step, as its noise has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from vae_trainables.config import Binarise
from vae_trainables.datasets.splits import Split
from vae_trainables.numerics.streams import EVALUATION_SEED, Streams

_NUMBER = {"train": 0, "val": 1, "test": 2}  # of each split's draw
_CHUNK = 1_000  # images that are drawn at once; other chunks would be another draw


def binarised(splits: Mapping[str, Split], how: Binarise) -> dict[str, Split]:
    """The splits by name as trials get them: training images stay grey where `how` is dynamic."""
    grey = {"none": set(splits), "static": set(), "dynamic": {"train"}}[how]
    return {n: split if n in grey else drawn_once(split, n) for n, split in splits.items()}


def drawn_once(split: Split, name: str) -> Split:
    """The split with one draw of its images, 0 or 255; name: `train`, `val` or `test`."""
    cpu = torch.device("cpu")  # the same bits for every device
    generator = Streams(EVALUATION_SEED, cpu).generator("pixels", _NUMBER[name])
    parts = [_drawn(part, generator) for part in split.images.split(_CHUNK)]
    return replace(split, images=torch.cat(parts))


def as_evaluated(train: Split, how: Binarise) -> Split:
    """Training images in the form that validation and test images have."""
    return drawn_once(train, "train") if how == "dynamic" else train


def sampled(clean: Tensor, uniform: Tensor) -> Tensor:
    """Float images of 0 and 1 from grey ones in [0, 1] and numbers uniform in [0, 1), one shape."""
    return (uniform < clean).to(clean.dtype)


def is_binary(images: Tensor) -> bool:
    """Whether uint8 images have no grey."""
    return bool(((images == 0) | (images == 255)).all())


def _drawn(images: Tensor, generator: torch.Generator) -> Tensor:
    share = torch.rand(images.shape, generator=generator)
    return sampled(images / 255, share).mul_(255).to(torch.uint8)
