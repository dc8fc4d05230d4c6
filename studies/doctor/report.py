"""The verdict that studies obey, and the page that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from studies.doctor.checks import COMPARED, MODELS
from studies.doctor.line import Line
from studies.workers.verdict import CohortWay, Verdict

TRUSTED = ("ok", "slower")


def verdict(lines: Sequence[Line]) -> Verdict:
    """The ways that are right on all GPUs and train most images; "auto" where none was seen."""
    seen = [line for line in lines if line.model in MODELS]
    if not seen:
        return Verdict()
    grouped, im2col = _rate(seen, "conv", "fast"), _rate(seen, "conv", "im2col")
    ways: dict[CohortWay, str] = {"auto": "fast", "eager": "eager", "off": "alone"}
    speeds = {cohort: _speed(seen, way) for cohort, way in ways.items()}
    if im2col > grouped:
        speeds["auto"] = _speed([line for line in seen if line.model != "conv"], "fast", im2col)
    best = max(speeds, key=speeds.__getitem__)
    return Verdict(best if speeds[best] else "off", "im2col" if im2col > grouped else "grouped")


def _speed(lines: Sequence[Line], way: str, more: float = 0.0) -> float:
    """Images per second of all models, `more` added; 0 where one of them is not to be trusted."""
    models = {line.model for line in lines}
    rates = [_rate(lines, model, way) for model in models]
    return sum(rates) + more if all(rates) else 0.0


def _rate(lines: Sequence[Line], model: str, way: str) -> float:
    """Images per second of the slowest GPU; 0 unless all lines of the way are to be trusted."""
    measured = [line for line in lines if (line.model, line.way) == (model, way)]
    if not measured or any(line.status not in TRUSTED for line in measured):
        return 0.0
    slots = max(line.slots for line in measured if line.slots <= COMPARED)
    return min(line.images_per_s for line in measured if line.slots == slots)


def page(facts: Mapping[str, str], lines: Sequence[Line], said: Verdict) -> str:
    """All of it as Markdown."""
    machine = [f"| {name} | {value} |" for name, value in facts.items()]
    checks = [
        f"| {line.name} | {line.status} | {line.detail} |".replace("\n", " ") for line in lines
    ]
    advice = [f"| `--{name}` | {value} |" for name, value in asdict(said).items()]
    parts = [
        ("# What the doctor found", ["| machine | |", "|---|---|", *machine]),
        ("## Verdict", ["| flag, where it is `auto` | |", "|---|---|", *advice]),
        ("## Checks", ["| check | | |", "|---|---|---|", *checks] if lines else ["No GPU."]),
    ]
    return "\n\n".join(f"{title}\n\n" + "\n".join(rows) for title, rows in parts) + "\n"
