"""Best so far of several searches against the epochs that each had trained, and their regrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.base import CLASS_COLORS, Plot, Spec, axis, panels, paper_legend, rounded
from analysis.figures.incumbents import Course
from analysis.statistics.quantities import quantity, sign

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOGETHER = len(CLASS_COLORS)
"""Searches in one picture: each has a colour of its own."""


@dataclass(frozen=True)
class Race:
    """Courses by name, all of one metric."""

    courses: tuple[tuple[str, Course], ...]

    @property
    def metric(self) -> str:
        """What all of them optimise."""
        return self.courses[0][1].metric

    @property
    def best(self) -> float:
        """The best that any of them found."""
        better = self._sign
        return better * max(better * course.steps[-1].score for _, course in self.courses)

    def regrets(self, course: Course) -> list[float]:
        """At each of the course's places, the distance to the best of all; never negative."""
        better = self._sign
        return [better * (self.best - score) for score in course.places[1]]

    @property
    def _sign(self) -> float:
        return sign(self.courses[0][1].direction)


def describe(race: Race) -> str:
    """What the picture shows, in words."""
    measure = quantity(race.metric)
    parts = [
        f"{name}: {measure.text(course.steps[-1].score)} after {course.steps[-1].epochs:,} of "
        f"{course.epochs:,} epochs"
        for name, course in race.courses
    ]
    return f"Best {measure.header} so far against epochs trained. {'; '.join(parts)}."


def spec(race: Race, *, regret: bool) -> Spec:
    """For the page: scores, or their distances to the best of all, on a logarithmic scale."""
    traces = []
    for (name, course), color in zip(race.courses, CLASS_COLORS, strict=False):
        epochs, scores = course.places
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": name, "x": epochs,
                "y": rounded(race.regrets(course) if regret else scores),
                "line": {"shape": "hv", "color": color, "width": 2},
            }
        )  # fmt: skip
    return {
        "data": traces,
        "layout": {"xaxis": axis("epochs trained"), "yaxis": axis("", log=regret)},
    }


def draw(race: Race) -> Figure:
    """For paper: both beside each other."""
    figure, (scores_axes, regret_axes) = panels(2)
    for (name, course), color in zip(race.courses, CLASS_COLORS, strict=False):
        epochs, scores = course.places
        scores_axes.step(epochs, scores, where="post", color=color, label=name)
        regret_axes.step(epochs, race.regrets(course), where="post", color=color)
    scores_axes.set(xlabel="epochs trained", ylabel=quantity(race.metric).header)
    regret_axes.set(xlabel="epochs trained", ylabel="regret to the best of all", yscale="log")
    paper_legend(figure)
    return figure


def plots(courses: Sequence[tuple[str, Course]]) -> tuple[Plot, ...]:
    """Scores and regrets; none for fewer than two searches that have found anything."""
    race = Race(tuple((name, course) for name, course in courses if course.steps)[:TOGETHER])
    if len(race.courses) < 2:
        return ()
    header = quantity(race.metric).header
    note = "A step is a trial that ended better than all before it; what was pruned is spent, too."
    return (
        Plot(
            "anytime", f"Best {header} so far", describe(race), note,
            spec(race, regret=False), lambda: draw(race),
        ),
        Plot(
            "anytime_regret",
            f"Regret to the best {header} of all",
            f"Distance of the best so far to {quantity(race.metric).text(race.best)}, the best "
            "that any of these searches found, against epochs trained.",
            "The search that found it ends at no regret, below a logarithmic scale.",
            spec(race, regret=True),
            lambda: draw(race),
        ),
    )  # fmt: skip
