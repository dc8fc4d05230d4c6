"""All that a report knows of one study, collected once from the tracker: `collect`.

`StudyResults` answers questions (which trial won, what is the reference); it draws nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from analysis.statistics import quantities
from analysis.statistics.quantities import Direction
from analysis.statistics.ranking import rank
from analysis.statistics.search_space import Dimension, dimensions
from analysis.tracker import lookup, runs
from analysis.tracker.client import Record, Tracker, TrackerError
from analysis.tracker.runs import METRIC, PARAM
from studies.tracker import names

SEARCH, CONFIRM, REFERENCE = "search", "confirm", "reference"
SPLITS = {"train": "training", "val": "validation", "test": "test"}
DEFAULT_OBJECTIVE = ("val/mse", "minimize")


@dataclass(frozen=True)
class Objective:
    """What the study optimised."""

    metric: str
    direction: Direction

    @property
    def column(self) -> str:
        """The metric's column in a frame of runs."""
        return METRIC + self.metric

    @property
    def ascending(self) -> bool:
        """True where the smallest value is the best."""
        return self.direction == "minimize"


@dataclass(frozen=True, eq=False)
class Examples:
    """The validation images that pictures are drawn from.

    Attributes:
        images: uint8 `(N, C, H, W)`, clean.
        noisy: uint8, the same with the study's evaluation noise.
        labels: int64 `(N,)`.
        split: which split they belong to.
        noise: kind and factor in words.
        baselines: reconstructions by baselines that learn nothing, by name, uint8 `(M, C, H, W)`.
        codes_images: uint8 `(K, C, H, W)` for the latent picture, with `codes_labels`.
    """

    images: NDArray[np.uint8]
    noisy: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split: str
    noise: str
    baselines: Mapping[str, NDArray[np.uint8]]
    codes_images: NDArray[np.uint8]
    codes_labels: NDArray[np.int64]

    @property
    def split_name(self) -> str:
        """The split in words."""
        return SPLITS.get(self.split, self.split)


@dataclass(frozen=True, eq=False)
class StudyResults:
    """One study. `trials`: a row per run, as in `analysis.tracker.runs`; `notes`: what is amiss."""

    name: str
    trials: pd.DataFrame
    tracker: Tracker
    parent: Record | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    baselines: tuple[Mapping[str, Any], ...] = ()
    baseline_robustness: tuple[Mapping[str, Any], ...] = ()
    examples: Examples | None = None
    foreign_runs: int = 0
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The study's title, or its name where it has none."""
        return str(self.info.get("title") or self.name)

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """From study.json; by default the validation MSE."""
        pairs = [
            (objective["metric"], objective["direction"])
            for objective in self.info.get("objectives", [])
        ]
        return tuple(Objective(*pair) for pair in pairs or [DEFAULT_OBJECTIVE])

    @property
    def objective(self) -> Objective:
        """The first objective, by which trials are ranked."""
        return self.objectives[0]

    @cached_property
    def own_metrics(self) -> tuple[str, ...]:
        """What a user's file measures of denoised images, by name; own loss terms are none."""
        quantities = self.info.get("quantities", {})
        return tuple(name for name, own in quantities.items() if own["direction"] is not None)

    @cached_property
    def distributions(self) -> Mapping[str, str]:
        """Searched parameters that trials have as a column, each with Optuna's JSON."""
        texts = self.info.get("distributions", {})
        return {name: text for name, text in texts.items() if PARAM + name in self.trials}

    @cached_property
    def space(self) -> tuple[Dimension, ...]:
        """The searched parameters."""
        return dimensions(self.distributions)

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """Names of the searched parameters; without study.json those that differ among trials."""
        if self.distributions:
            return tuple(dimension.name for dimension in self.space)
        names = [name for name in self.parameters if name != "seed"]
        return tuple(n for n in names if self.search[PARAM + n].astype(str).nunique() > 1)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters that a trial has."""
        columns = [str(column) for column in self.trials.columns]
        return tuple(column.removeprefix(PARAM) for column in columns if column.startswith(PARAM))

    @cached_property
    def search(self) -> pd.DataFrame:
        """The trials of the search, without confirmation.

        A study that only ran the reference (`--reference`) has no search: its runs take the place.
        """
        phase = self.trials["phase"]
        rows = phase == (SEARCH if (phase == SEARCH).any() else REFERENCE)
        return self.trials.loc[rows]

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """Finished search trials with a finite objective, best first, ties by trial.

        Where the search gave each configuration several seeds, a row is a configuration: its first
        trial with the means of all metrics, and only if every seed has finished.
        """
        column = self.objective.column
        if column not in self.search:
            return self.search.iloc[:0]
        finished = self.search.loc[self.search["status"] == "finished"]
        finished = finished.loc[np.isfinite(finished[column].to_numpy(dtype=float))]
        if self.seeds_per_configuration > 1:
            finished = self._means_over_seeds(finished)
        order = finished[column].sort_values(ascending=self.objective.ascending, kind="stable")
        return finished.loc[order.index]

    def _means_over_seeds(self, finished: pd.DataFrame) -> pd.DataFrame:
        column, direction = self.objective.column, self.objective.direction
        ranking = rank(self.search, metric=column, direction=direction)
        whole = {entry.configuration for entry in ranking.ranked}
        rows = finished.loc[finished["config"].isin(whole)]
        metrics = [str(name) for name in rows.columns if str(name).startswith(METRIC)]
        means = rows.groupby("config")[metrics].mean()
        first = rows.drop_duplicates("config").copy()
        first[metrics] = means.loc[first["config"].tolist()].to_numpy()
        return first

    @property
    def seeds_per_configuration(self) -> int:
        """How many seeds the search gave each configuration."""
        return int(self.info.get("settings", {}).get("seeds") or 1)

    @property
    def winner(self) -> pd.Series[Any] | None:
        """The best trial of the search, None if none has finished."""
        return None if self.ranked.empty else self.ranked.iloc[0]

    @cached_property
    def reference(self) -> pd.Series[Any] | None:
        """A finished run of the reference configuration: the search's, else a confirmation's."""
        done = self.trials[self.trials["reference"] & (self.trials["status"] == "finished")]
        done = done.sort_values("phase", key=lambda phase: phase != SEARCH, kind="stable")
        return None if done.empty else done.iloc[0]

    def trial(self, text: str) -> pd.Series[Any] | None:
        """The trial that goes by a key or a run's id, as `lookup` has it; None if no single does.

        Of two runs with one key, which only a torn creation leaves, the later one.
        """
        known = zip(self.trials["trial"], self.trials["run_id"], strict=True)
        fitting = self.trials.iloc[lookup.places(text, known)]
        return fitting.iloc[-1] if fitting["trial"].nunique() == 1 else None

    def count(self, *statuses: str) -> int:
        """Search trials with one of `statuses`."""
        return int(self.search["status"].isin(statuses).sum())

    def for_statistics(self) -> pd.DataFrame:
        """The search for `analysis.statistics.importance`: parameters and metrics by bare names.

        A metric wins over a parameter of the same name; `budget` holds the epochs that were run.
        """
        params = [PARAM + name for name in self.distributions]
        metrics = [
            objective.column for objective in self.objectives if objective.column in self.search
        ]
        table = self.search[["trial", "status", "epochs", *params, *metrics]]
        bare = {
            column: column.removeprefix(PARAM).removeprefix(METRIC) for column in params + metrics
        }
        return table.rename(columns={"epochs": "budget"}).rename(columns=bare)


def collect(study: str, tracker: Tracker) -> StudyResults:
    """Read everything about `study`; what is missing is missing, and said in `notes`.

    Raises TrackerError if there is no such study, or it is no study of ours at all.
    """
    records = tracker.records(study)
    parents = [record for record in records if runs.is_study(record)]
    trials = runs.frame(records)
    if trials.empty and not parents:
        raise TrackerError(
            f"{study!r} in {tracker.uri} holds {len(records)} runs but no study of this project; "
            f"there are: {', '.join(map(repr, tracker.studies())) or 'none'}"
        )
    reader = _Artifacts(tracker, parents[-1].run_id if parents else None)
    notes = [] if parents else ["The study's parent run is missing: only trials are shown."]
    if parents and (lost := tracker.lost_folder(parents[-1].run_id)):
        notes.append(
            f"The study's files are missing: there is no folder {lost}. A storage that is moved "
            "or copied goes whole, with its folder `artifacts`."
        )
    return StudyResults(
        name=study,
        trials=trials,
        tracker=tracker,
        parent=parents[-1] if parents else None,
        info=reader.study(),
        provenance=reader.json(names.PROVENANCE_FILE, {}),
        baselines=reader.rows(names.BASELINES_FILE),
        baseline_robustness=reader.rows(names.BASELINE_ROBUSTNESS_FILE),
        examples=reader.examples(),
        foreign_runs=len(records) - len(trials) - len(parents),
        notes=(*notes, *reader.notes),
    )


class _Goal(BaseModel):
    metric: str
    direction: Direction


class _OwnQuantity(BaseModel):
    """What a user's file measures."""

    unit: str
    direction: Direction | None


class _StudyFile(BaseModel):
    """What of study.json a report relies on; whatever else it holds is kept."""

    model_config = ConfigDict(extra="allow")

    title: str = ""
    objectives: list[_Goal] = []
    quantities: dict[str, _OwnQuantity] = {}
    distributions: dict[str, str] = {}
    reference: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    command: str = ""

    @field_validator("distributions")
    @classmethod
    def _readable(cls, texts: dict[str, str]) -> dict[str, str]:
        dimensions(texts)  # raises ValueError for what is no distribution
        return texts


class _Artifacts:
    """Reads the parent run's files; an unreadable one becomes a note, an absent one the default."""

    def __init__(self, tracker: Tracker, run_id: str | None) -> None:
        self.tracker = tracker
        self.run_id = run_id
        self.notes: list[str] = []

    def _path(self, name: str) -> Path | None:
        if self.run_id is None:
            return None
        try:
            return self.tracker.artifact(self.run_id, name)
        except TrackerError as error:
            self.notes.append(f"{name} cannot be read: {error}")
            return None

    def json(self, name: str, default: Any) -> Any:
        """The file's content if it is JSON of the default's type."""
        path = self._path(name)
        if path is None:
            return default
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            self.notes.append(f"{name} is not JSON: {error}")
            return default
        if not isinstance(content, type(default)):
            self.notes.append(f"{name} should hold a {type(default).__name__}")
            return default
        return content

    def study(self) -> dict[str, Any]:
        """study.json, or nothing of it where it is not what a study writes."""
        content: dict[str, Any] = self.json(names.STUDY_FILE, {})
        try:
            study_file = _StudyFile.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            self.notes.append(f"{names.STUDY_FILE} cannot be used: {where}: {first['msg']}")
            return {}
        for name, own in study_file.quantities.items():
            quantities.learn(name, own.unit, own.direction)
        return content

    def rows(self, name: str) -> tuple[Mapping[str, Any], ...]:
        """The rows of a file of baselines."""
        rows: list[Any] = self.json(name, [])
        usable = tuple(row for row in rows if isinstance(row, Mapping))
        if len(usable) < len(rows):
            self.notes.append(f"{name} holds entries that are no rows")
        return usable

    def examples(self) -> Examples | None:
        """The images of examples.npz."""
        path = self._path(names.EXAMPLES_FILE)
        if path is None:
            return None
        try:
            with np.load(path) as arrays:
                return _examples({name: arrays[name] for name in arrays.files})
        except (ValueError, KeyError, OSError) as error:
            self.notes.append(f"{names.EXAMPLES_FILE} cannot be used: {error}")
            return None


def _examples(arrays: dict[str, NDArray[Any]]) -> Examples:
    kind, factor = str(arrays["eval_noise_kind"]), float(arrays["eval_noise_factor"])
    return Examples(
        arrays["images"],
        arrays["noisy"],
        arrays["labels"],
        str(arrays["split"]),
        f"{kind.replace('_', ' ')} noise, factor {factor:g}",
        {
            name.removeprefix(names_prefix): value
            for name, value in arrays.items()
            if name.startswith(names_prefix := "baseline/")
        },
        arrays["codes_images"],
        arrays["codes_labels"],
    )
