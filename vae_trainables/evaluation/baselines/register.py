"""Which baselines there are, and the door for those of users' files."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vae_trainables.config.vocabulary import Vocabulary
from vae_trainables.evaluation.baselines import ceiling, linear, lookup, smoothing
from vae_trainables.evaluation.baselines.training import Denoiser, Fitted, Training

WIENER_RANK = 16
CEILING = "ceiling (U-Net)"
COSTLY = ("total variation", "non-local means", "lookup")  # 0.5 to 3 ms of a core per image
MOST_PIXELS = 4096  # values per image up to which a covariance of all of them is diagonalised
_COVARIANCE = ("wiener rank 16", "wiener", "pca")

Fit = Callable[[Training], Denoiser]

BASELINES: dict[str, Callable[[Training, int], Fitted]] = {
    "do nothing": lambda training, _: linear.nothing(training),
    "mean image": lambda training, _: linear.mean_image(training),
    f"wiener rank {WIENER_RANK}": lambda training, _: linear.wiener(training, WIENER_RANK),
    "wiener": lambda training, _: training.once(linear.wiener),
    "pca": lambda training, components: linear.pca(training, components),
    "total variation": lambda training, _: smoothing.total_variation(training),
    "non-local means": lambda training, _: smoothing.non_local_means(training),
    "lookup": lambda training, _: lookup.lookup(training),
    CEILING: lambda training, _: ceiling.unet(training),
}


FLOORS = tuple(name for name in BASELINES if name != CEILING)
"""Those that learn no network: seconds; the ceiling takes minutes."""
NAMES = Vocabulary("baseline", *BASELINES, identifiers=False)
OWN: dict[str, Fit] = {}
"""Baselines that users' files have registered, by name."""


def register(name: str) -> Callable[[Fit], Fit]:
    """Decorator: a baseline of one's own, judged beside the others on validation and test images.

    Its function learns from `Training` and returns what denoises float32 (n, C, H, W) in [0, 1].
    Its figures are computed anew by every study: unlike the others' they are not cached.

    Raises ValueError for a name that a baseline of this package or of another file has.
    """

    def take(fit: Fit) -> Fit:
        NAMES.add(name, fit.__module__)
        OWN[name] = fit
        return fit

    return take


def remove(name: str) -> None:
    """Take a baseline out again, as a test does with its own."""
    NAMES.remove(name)
    del OWN[name]


def fitted(name: str, training: Training, components: int) -> Fitted:
    """The baseline of that name; components: of `pca`."""
    if name in OWN:
        return Fitted(OWN[name](training), {})
    return BASELINES[name](training, components)


def affordable(names: Iterable[str], pixels: int) -> list[str]:
    """Those of `names` that images of `pixels` values allow: see `MOST_PIXELS`."""
    return [name for name in names if pixels <= MOST_PIXELS or name not in _COVARIANCE]
