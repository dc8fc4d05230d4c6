"""Labels of any kind as class numbers from 0, and the classes' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets.contents import Part, Pictures
from vae_trainables.datasets.errors import DataError

Indices = NDArray[np.int64]
FEW = 20  # classes that even a small set may have


class Classified(NamedTuple):
    """Class numbers by part; no classes where the data has no labels that say anything."""

    numbers: dict[Part, Indices]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def classify(parts: Mapping[Part, Pictures], names: Mapping[Any, str]) -> Classified:
    """Number the labels of all parts by their sorted values; `names` names some of them.

    Raises DataError if a part has another number of labels than of images.
    """
    by_part: dict[Part, NDArray[Any]] = {}
    for part, pictures in parts.items():
        if pictures.labels is None:
            return _none(parts, "")
        labels, trouble = _plain(pictures.labels)
        if len(labels) != len(pictures.images):
            raise DataError(
                f"{part}: {len(pictures.images)} images and {len(labels)} labels do not match"
            )
        if trouble:
            return _none(parts, trouble)
        by_part[part] = labels
    if len({labels.dtype.kind in "iu" for labels in by_part.values()}) > 1:
        raise DataError("the labels of one part are numbers, those of another are texts")
    values, numbers = np.unique(np.concatenate(list(by_part.values())), return_inverse=True)
    if len(values) == 1:
        return _none(parts, f"all images have the label {values[0]}: read as without labels")
    if len(values) > max(FEW, len(numbers) // 2):
        return _none(
            parts,
            f"{len(values)} different labels of {len(numbers)} images are no classes: left out",
        )
    ends = np.cumsum([len(labels) for labels in by_part.values()])[:-1]
    divided = np.split(numbers.astype(np.int64), ends)
    classes = tuple(names.get(value, str(value)) for value in values.tolist())
    return Classified(dict(zip(by_part, divided, strict=True)), classes, ())


def _none(parts: Mapping[Part, Pictures], note: str) -> Classified:
    numbers = {part: np.zeros(len(p.images), np.int64) for part, p in parts.items()}
    return Classified(numbers, (), (note,) if note else ())


def _plain(labels: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """One value per image, integers or texts, or why these are not such labels."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        if bool(((labels == 0) | (labels == 1)).all()) and bool((labels.sum(1) == 1).all()):
            return labels.argmax(1), ""
        return labels[:, 0], f"labels of shape {labels.shape} name several classes: left out"
    if labels.ndim != 1:
        return labels.reshape(len(labels), -1)[:, 0], f"labels of shape {labels.shape}: left out"
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.rint(labels)).any():
            return labels, "labels that are no whole numbers are no classes: left out"
        return labels.astype(np.int64), ""
    if labels.dtype.kind in "bui":
        return labels.astype(np.int64), ""
    texts = np.char.decode(labels, "utf-8", "replace") if labels.dtype.kind == "S" else labels
    return _numbers_if_all(texts.astype(str)), ""


def _numbers_if_all(texts: NDArray[Any]) -> NDArray[Any]:
    """Folders called 1 to 26 are in the order of the numbers, and 2 stands before 10."""
    if all(text.isdecimal() and text == str(int(text)) for text in np.unique(texts).tolist()):
        return texts.astype(np.int64)
    return texts
