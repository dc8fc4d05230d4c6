"""`--space show`: a study's spaces as text, with the reference's place in each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from studies.definition import StudyDefinition
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings

_DRAWS = 512  # of a space, to see on which choices a parameter depends
_HEAD = ("parameter", "from", "only with", "reference", "its place")
NOT_ASKED = "–"
Draw = Mapping[str, Any]


def described(definition: StudyDefinition, settings: Settings) -> str:
    """Every space of the study, as `--set` leaves it; raises InputError as a search would."""
    parts = []
    for name in definition.spaces:
        plan = make_plan(definition, replace(settings, space=name))
        rows = _rows(plan)
        parts.append(f"{definition.kind}, space {name}: {len(rows)} parameters\n\n{_aligned(rows)}")
    return "\n\n".join(parts)


def _rows(plan: Plan) -> list[tuple[str, ...]]:
    draws, distributions = _drawn(plan)
    reference = optuna.trial.FixedTrial(plan.reference_params())
    plan.configure(cast(optuna.Trial, reference))
    return [
        (
            name,
            _range(distribution),
            _condition(name, draws, distributions),
            _text(reference.params[name]) if name in reference.params else NOT_ASKED,
            _place(reference.params.get(name), distribution),
        )
        for name, distribution in distributions.items()
    ]


def _drawn(plan: Plan) -> tuple[list[Draw], dict[str, BaseDistribution]]:
    """Many draws at random, and what may be suggested, in the order of asking."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    draws: list[Draw] = []
    asked: dict[str, BaseDistribution] = {}
    for _ in range(_DRAWS):
        trial = study.ask()
        plan.configure(trial)
        draws.append(trial.params)
        asked |= trial.distributions
    return draws, asked


def _condition(
    name: str, draws: Sequence[Draw], distributions: Mapping[str, BaseDistribution]
) -> str:
    """The choice that decides whether `name` is asked for; "" where it always is.

    Where no single choice decides, how often it is.
    """
    with_it = [draw for draw in draws if name in draw]
    without = [draw for draw in draws if name not in draw]
    if not without:
        return ""
    for other, distribution in distributions.items():
        if not isinstance(distribution, CategoricalDistribution):
            continue
        present = {draw.get(other) for draw in with_it}
        if None not in present and not present & {draw.get(other) for draw in without}:
            values = [_text(choice) for choice in distribution.choices if choice in present]
            return f"{other} = {', '.join(values)}"
    return f"{len(with_it) / len(draws):.0%} of draws"


def _range(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(_text, distribution.choices))
    low, high, step, log = _bounds(distribution)
    return f"{low:g} to {high:g}" + (", logarithmic" if log else f" by {step:g}" if step else "")


def _place(value: Any, distribution: BaseDistribution) -> str:
    """Which choice it is, or how far from the low end to the high one."""
    if value is None:
        return NOT_ASKED
    if isinstance(distribution, CategoricalDistribution):
        return f"{distribution.choices.index(value) + 1} of {len(distribution.choices)}"
    low, high, _, log = _bounds(distribution)
    if low == high:
        return "the only value"
    scale = math.log if log else float
    return f"{(scale(value) - scale(low)) / (scale(high) - scale(low)):.0%}"


def _bounds(distribution: BaseDistribution) -> tuple[float, float, float | None, bool]:
    """Low, high, step (None: any value, or every integer) and whether the scale is logarithmic."""
    numeric = cast(optuna.distributions.FloatDistribution, distribution)
    step = None if numeric.step == 1 else numeric.step
    return numeric.low, numeric.high, step, numeric.log


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    table = [_HEAD, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join(lines)
