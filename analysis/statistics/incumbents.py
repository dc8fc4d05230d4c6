"""The best so far as a search went on, and how far it was from the best that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.quantities import Direction, sign


@dataclass(frozen=True)
class Incumbent:
    """A trial that was the best when it ended.

    epochs: trained by the whole search until then. regret: simple regret, the distance of its
    score to the search's last best, 0 for that one and never negative.
    """

    trial: str
    trials: int
    epochs: int
    score: float
    regret: float


def incumbents(search: pd.DataFrame, column: str, direction: Direction) -> tuple[Incumbent, ...]:
    """In the order in which trials ended; pruned and failed ones count as spent.

    search: rows with `trial`, `status`, `trained`, `ended` and the objective in
    `column`. Trials that have not ended are not spent yet.
    """
    ended = search[search["ended"].notna()].sort_values(["ended", "trial"], kind="stable")
    better = sign(direction)
    best, spent = -np.inf, 0
    steps: list[tuple[str, int, int, float]] = []
    for number, row in enumerate(ended.to_dict("records"), start=1):
        spent += 0 if pd.isna(row["trained"]) else int(row["trained"])
        score = row.get(column)
        if row["status"] != "finished" or score is None or not np.isfinite(score):
            continue
        if better * score > best:
            best = better * score
            steps.append((str(row["trial"]), number, spent, float(score)))
    return tuple(Incumbent(*step, best - better * step[3]) for step in steps)


def true_regrets(
    steps: tuple[Incumbent, ...], tested: dict[str, float], direction: Direction
) -> dict[str, float]:
    """Of incumbents with a confirmed mean on test images: its distance to the best of all those.

    tested: confirmed means by trial. Never negative; 0 for the best that was confirmed.
    """
    better = sign(direction)
    best = max((better * value for value in tested.values()), default=0.0)
    return {s.trial: best - better * tested[s.trial] for s in steps if s.trial in tested}
