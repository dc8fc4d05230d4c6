"""Best score so far against the epochs that the search had trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.base import Plot, Spec, axis, panels, rounded
from analysis.statistics.incumbents import Incumbent, incumbents
from analysis.statistics.quantities import Direction, quantity
from analysis.tracker.results import StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOR = "#0072b2"


@dataclass(frozen=True)
class Course:
    """The incumbents by `metric`, and the epochs of the whole search."""

    metric: str
    direction: Direction
    steps: tuple[Incumbent, ...]
    epochs: int

    @property
    def places(self) -> tuple[list[int], list[float]]:
        """Epochs and scores; the last score holds to the end."""
        ends = [step.epochs for step in self.steps]
        scores = [step.score for step in self.steps]
        return [*ends, max(self.epochs, ends[-1])], [*scores, scores[-1]]


def info(results: StudyResults) -> Course:
    """The course of a study's search by its first objective; without steps where none finished."""
    objective = results.objective
    steps = incumbents(results.search, objective.column, objective.direction)
    epochs = int(results.search["trained"].fillna(0).sum())
    return Course(objective.metric, objective.direction, steps, epochs)


def describe(course: Course) -> str:
    """What the picture shows, in words."""
    measure = quantity(course.metric)
    first, last = course.steps[0], course.steps[-1]
    return (
        f"Best {measure.header} so far against epochs trained: {measure.text(first.score)} after "
        f"{first.epochs:,} epochs, {measure.text(last.score)} after {last.epochs:,}, unchanged "
        f"until {course.epochs:,}."
    )


def spec(course: Course) -> Spec:
    """For the page."""
    epochs, scores = course.places
    trace = {
        "type": "scatter", "mode": "lines+markers", "x": epochs, "y": rounded(scores),
        "line": {"shape": "hv", "color": COLOR, "width": 2}, "marker": {"size": 5},
        "text": [f"trial {step.trial}" for step in course.steps] + ["end of the search"],
        "showlegend": False,
    }  # fmt: skip
    return {"data": [trace], "layout": {"xaxis": axis("epochs trained"), "yaxis": axis("")}}


def draw(course: Course) -> Figure:
    """For paper."""
    figure, (axes,) = panels(1)
    epochs, scores = course.places
    axes.step(epochs, scores, where="post", color=COLOR)
    axes.plot(epochs[:-1], scores[:-1], "o", ms=2.5, color=COLOR)
    axes.set(xlabel="epochs trained", ylabel=quantity(course.metric).header)
    return figure


def plot(course: Course) -> Plot:
    """The figure."""
    return Plot(
        "best_so_far",
        f"Best {quantity(course.metric).header} so far",
        describe(course),
        "A step is a trial that ended better than all before it; what was pruned is spent, too.",
        spec(course),
        lambda: draw(course),
    )
