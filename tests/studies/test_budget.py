"""What `--budget` takes."""

from __future__ import annotations

import pytest

from studies.budget import Budget
from studies.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds", "epochs"),
    [
        ("2h", 7200, None),
        ("90min", 5400, None),
        ("90m", 5400, None),
        ("45s", 45, None),
        ("1h30m", 5400, None),
        ("1.5 h", 5400, None),
        ("1H 30MIN", 5400, None),
        ("500epochs", None, 500),
        ("1 epoch", None, 1),
    ],
)
def test_a_time_or_a_number_of_epochs(text: str, seconds: float | None, epochs: int | None) -> None:
    budget = Budget.parse(text)
    assert (budget.seconds, budget.epochs) == (seconds, epochs)


@pytest.mark.parametrize(
    "text", ["", "2", "2days", "h", "-2h", "0epochs", "0h", "0.2s", "nan h", "1e9h", "2h 5epochs"]
)
def test_anything_else_is_refused_with_the_forms_that_there_are(text: str) -> None:
    with pytest.raises(InputError, match="--budget is"):
        Budget.parse(text)
