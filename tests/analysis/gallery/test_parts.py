"""Which parts a gallery has, by what its model is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from analysis.gallery.parts import PARTS

PLAIN: Any = SimpleNamespace(
    denoises=True,
    trained=SimpleNamespace(has_codes=False),
    config=SimpleNamespace(model=SimpleNamespace(variational=False)),
)


@pytest.mark.parametrize("part", ["latent", "downstream", "interpolation"])
def test_a_model_without_codes_would_be_asked_for_them(part: str) -> None:
    assert PARTS[part].unfit(PLAIN) == "the model has no codes"


def test_a_model_without_codes_would_show_no_picture_at_all() -> None:
    assert PARTS["reconstruction"].unfit(PLAIN) == ""
    assert PARTS["generation"].unfit(PLAIN) != ""
