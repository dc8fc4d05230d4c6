"""Figures of generated images in the features of a small classifier that this project trains.

`frechet_distance` here has the form of the FID of Heusel et al. 2017, but not its features: the
two are not comparable, and nothing here may be called FID. Figures compare only where the same
`FeatureNet` gave the features: same data, seed and epochs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vae_trainables.checkpoint import CheckpointError, read_tensors, write_tensors
from vae_trainables.config import stable_hash
from vae_trainables.datasets.sources import CACHE_VARIABLE, cache_folder
from vae_trainables.datasets.splits import Split

FEATURES = 64
SHAPE = (1, 28, 28)  # of the published sets' images
CLASSES = 10
MAP_SIDE = 14  # pixels after the first halving; larger maps are pooled to about half of it
BATCH = 128
EPOCHS = 4
LEAST_STEPS = 400  # small data sets get more epochs than asked for, up to this many steps
HELD_BACK = 10  # one image in this many measures the accuracy and is not trained on
PEAK_LR = 4e-3
VERSION = 1  # goes into the cache's key: raise it when the same settings give another net

_EXTRACT_BATCH = 500

log = logging.getLogger(__name__)

Disturb = Callable[[Tensor, torch.Generator], Tensor]
"""Images `(B, C, H, W)` in [0, 1] to what is trained on in their place, drawn anew each time."""


class TrainedNet(NamedTuple):
    """A classifier and its accuracy on the images of its split that it was not trained on."""

    net: FeatureNet
    accuracy: float


class FeatureNet(nn.Module):
    """Two convolutions and a hidden layer, whose 64 activations are the features.

    Images `(B, C, H, W)` of `shape` in [0, 1] to logits `(B, classes)`.
    """

    def __init__(self, shape: tuple[int, int, int] = SHAPE, classes: int = CLASSES) -> None:
        super().__init__()
        self.shape = shape
        channels, height, width = shape
        pool = max(2, height // MAP_SIDE), max(2, width // MAP_SIDE)
        inner = (height // 2 // pool[0]) * (width // 2 // pool[1])
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(pool),
            nn.Flatten(),
            nn.Linear(32 * inner, FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, classes)

    @classmethod
    def from_state(cls, state: dict[str, Tensor], shape: tuple[int, ...]) -> FeatureNet:
        """The net of `state_dict()` for images of `shape` (C, H, W); RuntimeError if none."""
        channels, height, width = shape
        net = cls((channels, height, width), len(state["head.weight"]))
        net.load_state_dict(state)
        return net.eval()

    def features(self, images: Tensor) -> Tensor:
        """`(B, C, H, W)` in [0, 1] to `(B, 64)`; ValueError for images of another shape."""
        if images.shape[1:] != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise ValueError(
                f"the feature net takes images (B, {expected}), got {tuple(images.shape)}"
            )
        activations: Tensor = self.trunk(images)
        return activations

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


def feature_net(
    split: Split, *, seed: int = 0, epochs: int = EPOCHS, folder: Path | None = None
) -> TrainedNet:
    """The classifier of `split`: from `folder` (the user's cache) if it is there, else trained.

    A new one that cannot be kept is trained again the next time.
    """
    key = stable_hash([VERSION, split.fingerprint(), seed, epochs])
    path = (folder or cache_folder("feature-nets")) / f"{key}.safetensors"
    if path.exists():
        try:
            return load(path, tuple(split.images.shape[1:]))
        except CheckpointError as error:
            log.warning("%s: training the feature net again", error)
    trained = train_feature_net(split, seed=seed, epochs=epochs)
    try:
        save(path, trained)
    except OSError as error:
        log.warning(
            "%s: cannot be written (%s), the feature net is not kept; %s names another folder",
            path,
            error.strerror,
            CACHE_VARIABLE,
        )
    return trained


def unfit(split: Split) -> str | None:
    """Why no classifier can be trained on `split`, as `train_feature_net` does; None if it can."""
    if not split.labelled:
        return "a feature net is a classifier: it needs labels, and there are none"
    if len(split) < HELD_BACK:
        return f"a feature net needs at least {HELD_BACK} images, got {len(split)}"
    return None


def train_feature_net(
    split: Split, *, seed: int = 0, epochs: int = EPOCHS, disturb: Disturb | None = None
) -> TrainedNet:
    """Train a classifier on nine tenths of `split`, measure it on the last tenth, undisturbed.

    Adam with one rise and fall of the learning rate (Smith & Topin 2019). Under a minute of one
    CPU thread for 55,000 images. Same seed and threads, same weights; the caller's random state
    stays as it was.

    Raises:
        ValueError: fewer than 10 images, or no labels.
    """
    if reason := unfit(split):
        raise ValueError(reason)
    count = len(split) - len(split) // HELD_BACK
    images, labels = split.images[:count].float() / 255, split.labels[:count]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _untrained(split)
    batch = min(BATCH, count)
    epochs = max(epochs, -(-LEAST_STEPS // (count // batch)))
    _fit(net, images, labels, batch, epochs, torch.Generator().manual_seed(seed), disturb)
    net.eval()
    return TrainedNet(net, accuracy(net, split.images[count:], split.labels[count:]))


def _untrained(split: Split) -> FeatureNet:
    channels, height, width = split.images.shape[1:]
    classes = len(split.classes) or max(CLASSES, int(split.labels.max()) + 1)
    return FeatureNet((channels, height, width), classes)


def _fit(
    net: FeatureNet,
    images: Tensor,
    labels: Tensor,
    batch: int,
    epochs: int,
    generator: torch.Generator,
    disturb: Disturb | None,
) -> None:
    steps = len(images) // batch
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=epochs * steps)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for rows in order[: steps * batch].view(steps, batch):
            batch_images = images[rows] if disturb is None else disturb(images[rows], generator)
            loss = functional.cross_entropy(net(batch_images), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(net: FeatureNet, images: Tensor, labels: Tensor) -> float:
    """Share of uint8 `images` `(N, C, H, W)` that `net` gives the class in `labels`."""
    with torch.inference_mode():
        activations = extract(net, images.float() / 255)
        return float((net.head(activations).argmax(1) == labels).double().mean())


@torch.inference_mode()
def extract(net: FeatureNet, images: Tensor) -> Tensor:
    """Features `(N, 64)` of images `(N, C, H, W)` in [0, 1], on the device of both."""
    return torch.cat([net.features(part) for part in torch.split(images, _EXTRACT_BATCH)])


def save(path: Path, trained: TrainedNet) -> None:
    """Write weights and accuracy as safetensors, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, trained.net.state_dict(), {"accuracy": trained.accuracy})


def load(path: Path, shape: tuple[int, ...] = SHAPE) -> TrainedNet:
    """Read what `save` wrote for images of `shape` (C, H, W).

    CheckpointError if it is damaged or something else.
    """
    tensors, meta = read_tensors(path)
    try:
        net = FeatureNet.from_state(tensors, shape)
        return TrainedNet(net, float(meta["accuracy"]))
    except (RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a feature net ({error})") from error


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Fréchet distance of two sets of features `(N, F)` and `(M, F)`, each taken as a gaussian.

    |m_a - m_b|² + tr(A) + tr(B) - 2 tr((AB)^½) (Dowson & Landau 1982), unbiased covariances. The
    last trace is the sum of the singular values of A^½ B^½: symmetric roots only, so that singular
    covariances do no harm. It falls with the number of images: compare equal numbers only.

    Raises:
        ValueError: fewer than two rows, different F, or features that are not finite.
    """
    (mean_a, cov_a), (mean_b, cov_b) = _moments(features_a), _moments(features_b)
    if len(mean_a) != len(mean_b):
        raise ValueError(f"features of different widths: {len(mean_a)} and {len(mean_b)}")
    cross = torch.linalg.svdvals(_root(cov_a) @ _root(cov_b)).sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return max(0.0, float(distance))  # equal sets leave a rounding error of either sign


def diversity(features: Tensor, reference: Tensor) -> float:
    """Mean distance between two different samples, as a share of that in the reference data.

    Euclidean distances of features `(N, F)` over all pairs. 0: all samples alike; 1: as far apart
    as real images. Says nothing about whether the samples look real: read it beside the Fréchet
    distance.

    Raises:
        ValueError: fewer than two rows, features that are not finite, or a reference whose
            images are all alike.
    """
    spread = _mean_pairwise_distance(reference)
    if spread == 0:
        raise ValueError(f"all {len(reference)} reference images have the same features")
    return _mean_pairwise_distance(features) / spread


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `(F,)` and covariance `(F, F)`."""
    values = _checked(features)
    return values.mean(0), torch.cov(values.T, correction=1).reshape(2 * (values.shape[1],))


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp_min(0).sqrt() @ vectors.T
    return root


def _mean_pairwise_distance(features: Tensor) -> float:
    values = _checked(features)
    exact = "donot_use_mm_for_euclid_dist"  # the faster way makes equal rows differ
    parts = torch.split(values, 1000)
    total = sum(float(torch.cdist(part, values, compute_mode=exact).sum()) for part in parts)
    return total / (len(values) * (len(values) - 1))


def _checked(features: Tensor) -> Tensor:
    """float64 on the CPU, where every device's features come out alike."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"expected features (N, F) with N > 1, got {tuple(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("features are not finite: the images they come from have NaN pixels")
    return features.detach().cpu().double()
