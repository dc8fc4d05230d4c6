"""What was searched: each hyperparameter's range, read from the tracker's JSON, and how to bin it.

Optuna is used as a library for its distributions only; no study storage is opened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

_STEP_ROUNDING = 1e-8

Value = float | int | str


@dataclass(frozen=True)
class Bin:
    """A part of a hyperparameter's range: a label, its centre on the axis and its limits.

    Limits and centre are NaN for a category. The upper limit belongs to the last bin only.
    """

    label: str
    center: float
    low: float
    high: float


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter; categories are labels (text), as Optuna cannot hash a list."""

    name: str
    distribution: FloatDistribution | IntDistribution | CategoricalDistribution

    @property
    def log(self) -> bool:
        """True where the hyperparameter was searched on a log scale."""
        return not isinstance(self.distribution, CategoricalDistribution) and self.distribution.log

    @property
    def range_text(self) -> str:
        """The range in words."""
        if isinstance(self.distribution, CategoricalDistribution):
            return " · ".join(str(choice) for choice in self.distribution.choices)
        scale = ", log scale" if self.log else ""
        return f"{self.distribution.low:g} to {self.distribution.high:g}{scale}"

    def read(self, column: pd.Series[Any]) -> list[Value | None]:
        """The column in the distribution's own type; None where missing or outside the range.

        Tracked parameters come back as text, and a trial given by hand may lie outside.
        """
        return [self._read(value) for value in column.tolist()]

    def _read(self, value: Any) -> Value | None:
        if isinstance(self.distribution, CategoricalDistribution):
            name = label(value)
            return name if name in self.distribution.choices else None
        if value is None or value == "" or math.isnan(number := float(value)):
            return None
        return _inside(number, self.distribution)

    def bins(self, values: list[Value], count: int) -> tuple[Bin, ...]:
        """Bins over the range: one for each category or, if they are few, each value that occurs.

        Otherwise `count` bins of equal width on the scale that was searched (log or linear).
        """
        if isinstance(self.distribution, CategoricalDistribution):
            nan = math.nan
            return tuple(Bin(str(choice), nan, nan, nan) for choice in self.distribution.choices)
        present = sorted({float(value) for value in values})
        if len(present) <= count:
            return tuple(Bin(f"{value:.3g}", value, value, value) for value in present)
        return self._equal_bins(float(self.distribution.low), float(self.distribution.high), count)

    def _equal_bins(self, low: float, high: float, count: int) -> tuple[Bin, ...]:
        ends = self._scaled(np.asarray([low, high]))
        scaled = np.linspace(ends[0], ends[1], count + 1)
        centers = self._unscaled((scaled[:-1] + scaled[1:]) / 2).tolist()
        # Rounded, so that a value such as 0.001 lies on its edge and not beside it.
        edges = [float(f"{edge:.12g}") for edge in self._unscaled(scaled).tolist()]
        edges[0], edges[-1] = low, high
        return tuple(
            Bin(f"{left:.3g} to {right:.3g}", center, left, right)
            for left, right, center in zip(edges[:-1], edges[1:], centers, strict=True)
        )

    def place(self, values: list[Value], bins: tuple[Bin, ...]) -> NDArray[np.int64]:
        """The bin (N,) that each value falls into."""
        if isinstance(self.distribution, CategoricalDistribution):
            labels = [limits.label for limits in bins]
            return np.asarray([labels.index(str(value)) for value in values], dtype=np.int64)
        numbers = np.asarray(values, dtype=np.float64)
        lows = np.asarray([limits.low for limits in bins])
        return np.searchsorted(lows, numbers, side="right").astype(np.int64) - 1

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(values) if self.log else values

    def _unscaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(values) if self.log else values


def dimensions(distributions: Mapping[str, str]) -> tuple[Dimension, ...]:
    """The hyperparameters behind `study.json`'s distributions (name: Optuna's JSON).

    One that could take only a single value is left out: nothing was searched. Raises ValueError
    for text that is no Optuna distribution.
    """
    parsed = [Dimension(name, _distribution(name, text)) for name, text in distributions.items()]
    return tuple(dimension for dimension in parsed if not dimension.distribution.single())


def _distribution(
    name: str, text: str
) -> FloatDistribution | IntDistribution | CategoricalDistribution:
    """`optuna.distributions.json_to_distribution`, with categories turned into labels."""
    try:
        document = json.loads(text)
        if document.get("name") == "CategoricalDistribution":
            return CategoricalDistribution(
                list(dict.fromkeys(label(choice) for choice in document["attributes"]["choices"]))
            )
        distribution = json_to_distribution(text)
        if not isinstance(distribution, FloatDistribution | IntDistribution):
            raise TypeError(type(distribution).__name__)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the distribution of {name!r} must be Optuna's JSON "
            f"(optuna.distributions.distribution_to_json), got {text!r}"
        ) from error
    return distribution


def _inside(number: float, limits: FloatDistribution | IntDistribution) -> Value | None:
    """`number` in the distribution's type, or None where it could not have been suggested."""
    if not limits.low <= number <= limits.high:
        return None
    if limits.step is not None:
        steps = (number - limits.low) / limits.step
        if abs(steps - round(steps)) > _STEP_ROUNDING:
            return None
    return int(number) if isinstance(limits, IntDistribution) else number


def label(value: Any) -> str:
    """A category as text: the same for a Python value and for what the tracker made of it.

    >>> label((32, 64)), label("[32, 64]"), label(True), label("True"), label("adam")
    ('[32, 64]', '[32, 64]', 'true', 'true', 'adam')
    """
    if isinstance(value, str):
        value = {"True": True, "False": False, "None": None}.get(value, value)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """JSON's types; a whole float as an integer, since 1 and 1.0 are one category."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
