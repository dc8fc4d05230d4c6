"""Fixtures that several test modules of this package share."""

from __future__ import annotations

import pytest

from tests.analysis import trained_study
from tests.analysis.trained_study import BETTER, TINY, Planned, TrainedStudy, seeded


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    """A confirmed study of models trained on the digits, under a name that needs care."""
    planned = [
        Planned("0000", TINY, reference=True),
        Planned("0001", BETTER),
        *(
            Planned(f"confirm-{2 * i + j:04d}", seeded(config, 1_000_000 + i), like, not j)
            for i in range(2)
            for j, (config, like) in enumerate([(TINY, "0000"), (BETTER, "0001")])
        ),
    ]
    folder = tmp_path_factory.mktemp("trained")
    settings = {"trials": 2, "epochs": BETTER.budget.epochs, "confirm_top": 1, "confirm_seeds": 2}
    return trained_study.write(folder, "Gürültü giderme 2/3", planned, **settings)
