"""What a study cost: sums, tails of phases, and what is called a waste."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from analysis.tracker.cost import Cost, cost_of, findings, tail_seconds
from studies.tracker import names


def trial(key: str, start: float, end: float, **measured: float) -> dict[str, object]:
    row: dict[str, object] = {
        "trial": key,
        "phase": "search",
        "device": "cpu",
        "started": pd.Timestamp(start, unit="s", tz="UTC"),
        "ended": pd.Timestamp(end, unit="s", tz="UTC"),
        "threads": 1,
    }
    return row | {f"system/{name}": value for name, value in measured.items()}


MEASURED = {
    "worker_s": 10.0, "waited_s": 1.0, "train_s": 6.0, "eval_s": 3.0, "cpu_s": 9.0,
    "memory_mib": 500.0,
}  # fmt: skip


def test_sums_are_of_the_trials_that_were_measured() -> None:
    rows = [
        trial("0000", 0, 11, **MEASURED),
        trial("0001", 0, 12, **{**MEASURED, "eval_s": 7.0, "train_s": 2.0, "memory_mib": 700.0}),
        trial("0002", 0, 12),
    ]
    cost = cost_of(pd.DataFrame(rows))
    assert cost is not None
    assert (cost.trials, cost.of) == (2, 3)
    assert (cost.train_s, cost.eval_s, cost.rest_s, cost.waited_s) == (8, 10, 2, 2)
    assert cost.held_s == 22 + cost.tail_s
    assert (cost.memory_mib, cost.memory_trial) == (700, "0001")
    assert (cost.cores, cost.busy_cores) == (1, pytest.approx(18 / 20))
    assert cost.slow_evaluation == ("0001",)
    assert math.isnan(cost.energy_j)
    assert math.isnan(cost.gpu_percent)


def test_a_study_that_nobody_measured_costs_nothing_that_is_known() -> None:
    assert cost_of(pd.DataFrame([trial("0000", 0, 1)])) is None


@pytest.mark.parametrize(
    ("times", "tail"),
    [
        ([(0, 10), (0, 10)], 0),
        ([(0, 10), (0, 4)], 6),
        ([(0, 5), (0, 4), (5, 9), (4, 20)], 11),  # from 9 on one of two workers waits
        ([(0, 5), (100, 105)], 0),  # one at a time, with a night between them
        ([(0, 5), (0, 5), (100, 105), (100, 103)], 2),  # the night is no tail
        ([(0, 5)], 0),
    ],
)
def test_the_tail_is_what_workers_wait_when_nothing_more_begins(
    times: list[tuple[float, float]], tail: float
) -> None:
    rows = [trial(str(number), *span) for number, span in enumerate(times)]
    assert tail_seconds(pd.DataFrame(rows)) == tail


GOOD = Cost(
    trials=4, of=4, train_s=100, eval_s=20, rest_s=2, waited_s=1, tail_s=0, cpu_s=110, cores=1,
    memory_mib=1, memory_trial="0000", gpu_percent=math.nan, energy_j=math.nan, slow_evaluation=(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"waited_s": 40}, "most of it between trials"),
        ({"tail_s": 40}, "most of it at the end of a phase"),
        ({"slow_evaluation": ("0002",)}, "longer than training in 1 of 4 trials (such as 0002)"),
        ({"rest_s": 40}, "checkpoints and final tests took 25%"),
        ({"cores": 4}, "0.9 of its 4 cores"),
        ({"gpu_percent": 20.0}, "at work for 20 %"),
    ],
)
def test_each_waste_is_named_and_only_that(changes: dict[str, object], words: str) -> None:
    assert findings(GOOD) == []
    (sentence,) = findings(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert words in sentence


def test_the_names_are_those_that_the_tracker_writes() -> None:
    assert {f"system/{name}" for name in MEASURED} == (
        names.ADDED_UP - {names.ENERGY_J} | {names.MEMORY_MIB}
    )
