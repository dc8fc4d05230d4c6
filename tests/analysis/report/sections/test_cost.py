"""The section on cost: numbers, sentences and a table that agree."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from analysis.report.page import KeyNumbers, Prose, TableBlock
from analysis.report.sections import cost
from analysis.tracker.runs import METRIC, PARAM
from tests.analysis.tracker.test_cost import GOOD, MEASURED, trial


def test_a_measured_study_has_numbers_a_judgement_and_a_table() -> None:
    rows = pd.DataFrame([trial(key, 0, 10, **MEASURED) for key in ("0000", "0001")])
    in_tracker = {name: METRIC + name for name in rows if name.startswith("system/")}
    frame = rows.rename(columns={**in_tracker, "threads": PARAM + "threads"})
    section = cost.section(SimpleNamespace(trials=frame))  # type: ignore[arg-type]
    assert section is not None
    numbers, judgement, table = section.blocks
    assert isinstance(numbers, KeyNumbers)
    assert isinstance(judgement, Prose)
    assert isinstance(table, TableBlock)
    assert [number.label for number in numbers.numbers] == [
        "workers' time", "CPU time", "most memory of a trial",
    ]  # fmt: skip
    assert judgement.text == "Nothing notable was wasted."
    assert table.table.frame["share"].sum() == pytest.approx(100)


def test_energy_and_gpu_stand_there_where_the_machine_told() -> None:
    labels = [n.label for n in cost.numbers(GOOD)]
    told = cost.numbers(type(GOOD)(**{**vars(GOOD), "energy_j": 1.8e6, "gpu_percent": 75.0}))
    assert {n.label: n.value for n in told if n.label not in labels} == {
        "GPU at work": "75 %", "energy": "0.5 kWh",
    }  # fmt: skip
    assert math.isnan(GOOD.energy_j)


def test_a_study_of_an_earlier_version_has_no_such_section() -> None:
    frame = pd.DataFrame([trial("0000", 0, 1)])
    assert cost.section(SimpleNamespace(trials=frame)) is None  # type: ignore[arg-type]
