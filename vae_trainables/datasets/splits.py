"""Images in memory: one split, and all that a trial may see."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels in memory.

    Attributes:
        images: uint8 `(N, 1, 28, 28)`, contiguous; 0 is black, 255 white.
        labels: int64 `(N,)`, 0 to 9.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, n: int | None) -> Split:
        """The first `n` images, or all of them if `n` is None or there are no more than `n`."""
        if n is not None and n < 1:
            raise ValueError(f"a split must keep at least 1 image, not {n}")
        return self if n is None or n >= len(self) else Split(self.images[:n], self.labels[:n])

    def fingerprint(self) -> str:
        """16 hex digits of the SHA-256 over shape, pixels and labels."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.contiguous().view(-1).cpu().numpy().data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class TrialData:
    """What a trial may see. A search trial gets no test split, so that it cannot leak."""

    train: Split
    val: Split
    test: Split | None = None
    feature_net: dict[str, Tensor] | None = None
    classifier: dict[str, Tensor] | None = None
    """Of noisy images: for models that are told classes, see `evaluation.classifier`."""
