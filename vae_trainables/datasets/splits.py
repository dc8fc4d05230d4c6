"""Images in memory: one split, what a set is like, and all that a trial may see."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels in memory.

    Attributes:
        images: uint8 `(N, C, H, W)`, contiguous, C 1 or 3; 0 is black, 255 white.
        labels: int64 `(N,)`, from 0 to one less than there are classes. Without labels all are 0
            and `labelled` is False: an index that no layer trips over, but nothing to learn from.
        classes: the classes' names in the order of the labels; empty where nobody named them.
        labelled: whether `labels` say anything.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...] = ()
    labelled: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, n: int | None) -> Split:
        """The first `n` images, or all of them if `n` is None or there are no more than `n`."""
        if n is not None and n < 1:
            raise ValueError(f"a split must keep at least 1 image, not {n}")
        if n is None or n >= len(self):
            return self
        return replace(self, images=self.images[:n], labels=self.labels[:n])

    def fingerprint(self) -> str:
        """16 hex digits of the SHA-256 over shape, pixels and labels."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.contiguous().view(-1).cpu().numpy().data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Facts:
    """What a configuration has to fit.

    Attributes:
        name: of the data set, as `TrialConfig.dataset` has it.
        shape: (C, H, W) of every image.
        classes: their names; empty without labels.
        images: how many there are to train on.
    """

    name: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    images: int

    @property
    def labelled(self) -> bool:
        """Whether there are labels that say anything."""
        return bool(self.classes)


@dataclass(frozen=True)
class TrialData:
    """What a trial may see. A search trial gets no test split, so that it cannot leak."""

    train: Split
    val: Split
    test: Split | None = None
    feature_net: dict[str, Tensor] | None = None
    classifier: dict[str, Tensor] | None = None
    """Of noisy images: for models that are told classes, see `evaluation.classifier`."""
