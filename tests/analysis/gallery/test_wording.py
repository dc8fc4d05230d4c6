"""Both languages say the same things, in letters that the figures' font has."""

from __future__ import annotations

import string

import pytest

from analysis.classes import class_name
from analysis.gallery.output import FONT
from analysis.gallery.wording import _TEXTS, say


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", _TEXTS)
def test_every_text_is_there_in_both_languages(key: str) -> None:
    assert _TEXTS[key].keys() == {"en", "tr"}
    if key != "component":  # a share in English, percent in Turkish
        assert fields(_TEXTS[key]["en"]) == fields(_TEXTS[key]["tr"])


def test_the_font_has_every_letter() -> None:
    from matplotlib.font_manager import findfont, get_font

    glyphs = get_font(findfont(FONT, fallback_to_default=False)).get_charmap()
    texts = [text for both in _TEXTS.values() for text in both.values()]
    texts += [class_name("fashion-mnist", label, "tr") for label in range(10)]
    missing = {letter for text in texts for letter in text if ord(letter) not in glyphs}
    assert missing <= {"\n"}
    assert {"İ", "ş", "ğ", "ü", "ö", "ç", "ı"} <= {letter for text in texts for letter in text}


def test_values_are_filled_in() -> None:
    assert say("supcon_collapsed", "tr", others=255, value=5.541264) == (
        "bütün kodlar aynı olsa: ln 255 = 5.541"
    )
