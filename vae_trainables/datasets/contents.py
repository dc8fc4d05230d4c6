"""What a format finds at a path, before it is brought to what a trial takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

Part = Literal["all", "train", "val", "test"]
"""A part that a file or folder names; `all` where it names none."""

_PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "t10k"), "test"),
}


@dataclass(frozen=True, eq=False)
class Pictures:
    """One part as it was found.

    Attributes:
        images: `(N, C, H, W)` of any type that `values.as_uint8` takes.
        labels: `(N,)` or `(N, K)`, numbers or texts; None without labels.
        names: what messages call the pictures, one each; empty: their places.
    """

    images: NDArray[Any]
    labels: NDArray[Any] | None
    names: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Contents:
    """All that was found.

    Attributes:
        format: in words.
        parts: what there is of train, val and test; `all` is still to be divided.
        class_names: names of labels that are numbers, where they are known.
        notes: what the user should know.
    """

    format: str
    parts: Mapping[Part, Pictures]
    class_names: Mapping[Any, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def words(name: str) -> list[str]:
    """The lower-case words of a name: `X_train` and `kmnist-train-imgs` have two and three."""
    return re.findall("[a-z0-9]+", re.sub("([a-z0-9])([A-Z])", r"\1 \2", name).lower())


def part_of(name: str) -> Part:
    """The part that a file, folder or array is called after."""
    return next((_PARTS[word] for word in words(name) if word in _PARTS), "all")


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
