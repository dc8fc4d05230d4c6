"""Names of the classes of each data set, in English and in Turkish (the reference's language)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Language = Literal["en", "tr"]

_DIGITS = tuple("0123456789")
_FASHION = {
    "en": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    "tr": (
        "Tişört/Üst", "Pantolon", "Kazak", "Elbise", "Mont",
        "Sandalet", "Gömlek", "Spor Ayakkabı", "Çanta", "Bot",
    ),
}  # fmt: skip


def class_name(
    dataset: str, label: int, language: Language = "en", classes: Sequence[str] = ()
) -> str:
    """The class's name: of a set known here, else of the data's own `classes`, else its number.

    >>> class_name("fashion-mnist", 9, "tr"), class_name("mnist", 3)
    ('Bot', '3')
    >>> class_name("pets", 1, classes=("cat", "dog"))
    'dog'
    """
    names = _FASHION[language] if dataset == "fashion-mnist" else tuple(classes) or _DIGITS
    return names[label] if 0 <= label < len(names) else str(label)
