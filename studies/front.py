"""Studies from Python and from a notebook: the same runner, the same tracker, an object to look at.

    import studies
    result = studies.load("my_study.py").run(trials=20, epochs=5)
    result.trials, result.best, result.figure("curves"), result.report("report")

Flags are those of the command line with `_` for `-`. Ctrl-C (interrupting the kernel) stops the
study as it does there; `run(..., resume=True)` goes on.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.definition import StudyDefinition
from studies.errors import InputError, StudyStopped
from studies.runner.interrupts import listening
from studies.runner.settings import Settings, with_preset
from studies.study_file import load as load_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analysis.models.trained import TrainedModel
    from analysis.report.page import Section
    from analysis.tracker.results import StudyResults


def load(study: str | Path | StudyDefinition) -> Study:
    """A study by its file's path, by its name (`"denoise_sweep"`), or as it was defined.

    Raises InputError, in one line, where there is none.
    """
    if isinstance(study, StudyDefinition):
        return Study(study)
    if isinstance(study, Path) or study.endswith(".py"):
        return Study(load_file(study))
    try:
        return Study(import_module(f"studies.{study}").STUDY)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"there is no study {study!r}: give a name such as 'denoise_sweep', or a file's path"
        ) from error


@dataclass(frozen=True)
class Study:
    """A study that can be run, again and again: with `resume=True` it goes on."""

    definition: StudyDefinition

    def run(self, **flags: Any) -> Result:
        """Run it; what the tracker holds of it afterwards.

        Args:
            flags: as on the command line, `--train-size 1000` is `train_size=1000`; `storage` and
                `data_dir` may be texts.

        Raises InputError for bad input, StudyError where it cannot go on; a stop (Ctrl-C, a used-up
        time budget) is no error: `Result.outcome` says so.
        """
        settings = _settings(flags)
        with listening() as stop:
            try:
                with stop.entire():
                    from studies.runner.driver import run_study  # imports ray: seconds

                code = run_study(self.definition, settings, stop)
            except StudyStopped as stopped:  # before the study was opened
                return Result(self._name(settings), settings.address_of_tracker, stopped.reason)
        outcome = "finished" if code == 0 else f"ended with exit code {code}"
        return Result(self._name(settings), settings.address_of_tracker, outcome)

    def result(self, **flags: Any) -> Result:
        """What the tracker holds of the study, without running anything."""
        settings = _settings(flags)
        return Result(self._name(settings), settings.address_of_tracker, "as recorded")

    def _name(self, settings: Settings) -> str:
        return settings.study or self.definition.kind


def _settings(flags: dict[str, Any]) -> Settings:
    """The flags as the command line would have them; InputError for one that does not exist."""
    values = {f.name: f.default for f in fields(Settings)}
    for name, value in flags.items():
        if name not in values:
            near = difflib.get_close_matches(name, values, 3)
            hint = f"did you mean {' or '.join(near)}?" if near else "see --help of any study"
            raise InputError(f"there is no flag {name!r}: {hint}")
        if name in ("storage", "data_dir") and value is not None:
            value = Path(value)
        elif name in ("set", "warm_start") and isinstance(value, str):
            value = [value]  # which the command line takes as often as one likes
        values[name] = value
    settings = with_preset(values)
    settings.check()
    return settings


class Picture:
    """A matplotlib figure that a notebook shows by itself."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    def save(self, path: str | Path) -> None:
        """Write a file; its ending decides the format (png, svg, pdf)."""
        self.figure.savefig(str(path))

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


@dataclass(frozen=True)
class Result:
    """A study as the tracker holds it; reads nothing else, and changes nothing."""

    name: str
    tracking_uri: str = field(repr=False)  # it may hold a password
    outcome: str

    @cached_property
    def results(self) -> StudyResults:
        """What the report is made from."""
        from analysis.tracker.client import Tracker
        from analysis.tracker.results import collect

        return collect(self.name, Tracker(self.tracking_uri))

    @property
    def trials(self) -> pd.DataFrame:
        """A row per trial, best first: settings as `params.…`, latest metrics as `metrics.…`."""
        results = self.results
        order = results.ranked.index
        rest = results.trials.index.difference(order, sort=False)
        return results.trials.loc[order.append(rest)].reset_index(drop=True)

    @property
    def best(self) -> pd.Series[Any]:
        """The run that `analysis.publish` would publish; WinnerError where none has finished."""
        from analysis.models.winner import choose

        return choose(self.results).run

    def load_best(self) -> TrainedModel:
        """The best run's model, on the CPU: `.denoise`, `.codes`, `.decode`, `.samples`."""
        from analysis.models.trained import load as load_trained

        best = self.best
        return load_trained(self.results.tracker, str(best["run_id"]), str(best["trial"]))

    def figure(self, name: str = "curves") -> Picture:
        """A figure of the report: curves, parameters, pareto, confirmed or groups of its plots.

        Raises InputError where there is no such figure, or nothing to draw yet.
        """
        section = self._section(name)
        plots = [plot for block in section.blocks for plot in getattr(block, "plots", ())]
        if not plots:
            raise InputError(f"the study has no figure {name!r} yet")
        return Picture(plots[0].paper())

    def _section(self, name: str) -> Section:
        from analysis.report.sections import confirmed, search

        makers: dict[str, Callable[[StudyResults], Section | None]] = {
            "curves": search.learning_curves,
            "parameters": search.parameters,
            "pareto": search.pareto,
            "confirmed": confirmed.section,
        }
        if name not in makers:
            raise InputError(f"there is no figure {name!r}: give one of {', '.join(makers)}")
        section = makers[name](self.results)
        if section is None:
            raise InputError(f"the study has nothing to draw for {name!r} yet")
        return section

    def report(self, out: str | Path) -> Path:
        """Write the report into a folder; the path of its page."""
        from analysis.report.builder import build

        return build([self.name], Path(out), tracking_uri=self.tracking_uri)

    def _repr_html_(self) -> str:
        from html import escape

        line = f"<b>{escape(self.name)}</b>: {escape(self.outcome)}"
        return f"{line}; {escape(counts)}" if (counts := self._counts()) else line

    def _counts(self) -> str:
        """Trials by status; "" where a study was stopped before the tracker had any of it."""
        from analysis.tracker.client import TrackerError

        try:
            counts = self.results.trials["status"].value_counts()
        except TrackerError:
            return ""
        return ", ".join(f"{number} {status}" for status, number in counts.items())
