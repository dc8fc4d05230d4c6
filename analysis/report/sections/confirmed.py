"""What retraining on fresh seeds has shown: tables, sentences, robustness."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis.figures import confirmations, robustness
from analysis.report.page import Block, Plots, Prose, Section, TableBlock
from analysis.report.verdicts import verdict
from analysis.statistics.confirmation import Confirmation, confirm
from analysis.statistics.intervals import mean_interval
from analysis.statistics.quantities import quantity
from analysis.tables import findings as finding_tables
from analysis.tracker.client import TrackerError, one_line
from analysis.tracker.results import CONFIRM, StudyResults
from analysis.tracker.runs import METRIC, PARAM, class_note
from studies.definition import tested
from studies.tracker import names

E = TypeVar("E")

REFERENCE = "reference"
ROBUSTNESS_METRIC = "psnr"
BASELINE_NAMES = {"do nothing": "noisy input", "wiener": "Wiener filter", "lookup": "look-up"}
ROBUSTNESS_COLUMNS = ("kind", "factor", ROBUSTNESS_METRIC)


@dataclass(frozen=True, eq=False)
class Confirmations:
    """The confirmation runs; `runs` has a column `configuration`, keyed by the search trial."""

    runs: pd.DataFrame
    labels: dict[str, str]
    search_scores: dict[str, float]

    def marked(self, configuration: str) -> str:
        """The configuration's label, the reference marked as such."""
        mark = " (reference)" if configuration == REFERENCE else ""
        return self.labels.get(configuration, configuration) + mark


def collect(results: StudyResults) -> Confirmations | None:
    """Finished confirmation runs by the search trial whose configuration they repeat."""
    runs = results.trials[results.trials["phase"] == CONFIRM].copy()
    if runs.empty:
        return None
    origin = runs["like"].where(runs["like"] != "", runs["config"])
    runs["configuration"] = origin.where(~runs["reference"], REFERENCE)
    runs = runs.drop_duplicates(["configuration", "seed"], keep="last")
    keys = [key for key in runs["configuration"].unique() if key != REFERENCE]
    rows = runs.drop_duplicates("configuration").set_index("configuration").to_dict("index")
    labels = {key: _label(key, rows[key]) for key in keys}
    if results.reference is not None:
        labels[REFERENCE] = _label(results.reference["trial"], results.reference.to_dict())
    return Confirmations(runs, labels, _search_scores(results, keys))


def _label(trial: str, row: Mapping[Hashable, Any]) -> str:
    """The trial, and where its classes are from if it is told any."""
    note = class_note(row)
    return f"trial {trial} ({note})" if note else f"trial {trial}"


def _search_scores(results: StudyResults, keys: list[str]) -> dict[str, float]:
    """The objective in the search of each configuration, the reference included.

    Its mean where the search gave a configuration several seeds.
    """
    column = results.objective.column
    if column not in results.search:
        return {}
    scores = results.search.set_index("trial")[column].to_dict()
    scores |= results.ranked.set_index("trial")[column].to_dict()
    reference = results.reference
    if reference is not None and reference["phase"] != CONFIRM:
        scores[REFERENCE] = scores[reference["trial"]]
    return {key: float(scores[key]) for key in [*keys, REFERENCE] if pd.notna(scores.get(key))}


def test_metric(results: StudyResults) -> str:
    """The objective on the test split."""
    return tested(results.objective.metric)


def findings(results: StudyResults) -> tuple[Confirmation, Confirmations] | None:
    """The confirmation, judged by the objective on the test split; None where there is none."""
    collected = collect(results)
    metric = test_metric(results)
    if collected is None or METRIC + metric not in collected.runs:
        return None
    runs = collected.runs.assign(value=collected.runs[METRIC + metric])
    validation = results.objective.column if results.objective.column in runs else None
    confirmation = confirm(
        runs,
        metric=metric,
        direction=results.objective.direction,
        reference=REFERENCE,
        search_scores=collected.search_scores,
        search_seeds=results.seeds_per_configuration,
        validation=validation,
    )
    return confirmation, collected


def sentences(results: StudyResults) -> tuple[str, ...]:
    """The verdict; empty without a confirmation."""
    outcome = findings(results)
    return () if outcome is None else verdict(outcome[0], names=_capitals(outcome[1].labels))


def _capitals(labels: dict[str, str]) -> dict[str, str]:
    return {key: label[0].upper() + label[1:] for key, label in labels.items()}


def entries(results: StudyResults, scores: Sequence[str], make: Callable[..., E]) -> list[E]:
    """Rows for the comparison: mean over seeds on the test split, with intervals."""
    outcome = findings(results)
    if outcome is None:
        return []
    confirmation, runs = outcome
    rows = []
    for place, confirmed in enumerate(confirmation.configurations):
        mine = runs.runs[runs.runs["configuration"] == confirmed.configuration]
        spread = {
            name: mean_interval(values.tolist())
            for name in scores
            if f"{METRIC}test/{name}" in mine
            and len(values := _finite(mine[f"{METRIC}test/{name}"]))
        }
        rows.append(
            make(
                f"{runs.marked(confirmed.configuration)}, "
                f"confirmed on {confirmed.estimate.n} seeds",
                _group(place, confirmed.configuration),
                "test",
                {name: interval.mean for name, interval in spread.items()},
                {name: interval.low for name, interval in spread.items()},
                {name: interval.high for name, interval in spread.items()},
            )
        )
    return rows


def _group(place: int, configuration: str) -> str:
    if place == 0:
        return "confirmed winner"
    return "confirmed reference" if configuration == REFERENCE else "confirmed"


def _finite(values: pd.Series[Any]) -> pd.Series[Any]:
    return values[np.isfinite(values.astype(float))]


def section(results: StudyResults) -> Section | None:
    """Forest plot, tables and robustness; None where nothing was confirmed."""
    outcome = findings(results)
    if outcome is None:
        return None
    confirmation, runs = outcome
    scores = {
        str(name): dict(
            zip(rows["seed"].astype(int), rows[METRIC + confirmation.metric], strict=True)
        )
        for name, rows in runs.runs.groupby("configuration")
    }
    marked = {key: runs.marked(key) for key in runs.labels}
    forest = confirmations.info(confirmation, scores, marked, runs.search_scores)
    blocks: list[Block] = [
        *(Prose(text) for text in verdict(confirmation, names=_capitals(runs.labels))),
        Plots((confirmations.plot(forest),), wide=True),
        TableBlock(finding_tables.confirmation_table(confirmation, names=runs.labels), "confirmed"),
    ]
    if confirmation.comparisons:
        table = finding_tables.comparison_table(confirmation, names=runs.labels)
        blocks.append(TableBlock(table, "against_reference"))
    if opened := _test_opened(runs.runs):
        blocks.append(Prose(opened))
    blocks += _robustness(results, runs)
    return Section("confirmed", "Confirmed on unseen data", tuple(blocks))


def _test_opened(runs: pd.DataFrame) -> str:
    times = runs["test_opened"].dropna()
    if times.empty:
        return ""
    return (
        f"The test split was opened by the confirmation alone, from {times.min():%Y-%m-%d %H:%M} "
        f"to {times.max():%Y-%m-%d %H:%M} UTC."
    )


def _robustness(results: StudyResults, runs: Confirmations) -> list[Block]:
    rows, notes = robustness_rows(results, runs)
    blocks: list[Block] = [Prose(note, "notice") for note in notes]
    if rows.empty:
        return blocks
    keys = [REFERENCE, *(label for label in runs.labels if label != REFERENCE)]
    order = [runs.marked(key) for key in keys]
    judged = runs.runs.get(PARAM + "eval_noise_factor")
    at = None if judged is None else float(judged.iloc[0])
    plots = [
        robustness.plot(
            robustness.info(
                rows, kind, ROBUSTNESS_METRIC, order=order,
                reference=runs.marked(REFERENCE), judged_at=at,
                baselines=_baseline_curves(results),
            )
        )
        for kind in rows["kind"].unique()
    ]  # fmt: skip
    measure = quantity("test/" + ROBUSTNESS_METRIC).header
    counts = rows["n"].dropna().unique()
    images = f", on the first {counts[0]:.0f} test images" if len(counts) == 1 else ""
    text = (
        f"{measure} over kinds and factors of noise{images}: mean over seeds with its 95 % "
        f"interval. {_trained_on(runs)} A model below the noisy input does harm there."
    )
    return [*blocks, Prose(text), Plots(tuple(plots))]


def _trained_on(runs: Confirmations) -> str:
    """Which noise each configuration was trained on."""
    first = runs.runs.drop_duplicates("configuration")
    columns = [PARAM + "noise_kind", PARAM + "noise_factor"]
    if not set(columns) <= set(first):
        return ""
    rows = first[["configuration", *columns]].itertuples(index=False, name=None)
    parts = [
        f"{runs.marked(name)} on {robustness.kind_name(str(kind))} noise of factor {factor:.3g}"
        for name, kind, factor in rows
    ]
    return f"Trained: {'; '.join(parts)}."


def _baseline_curves(results: StudyResults) -> list[dict[str, Any]]:
    """Rows that can be drawn, under the names that they have in a legend."""
    usable = [
        dict(row)
        for row in results.baseline_robustness
        if {"name", "kind", "factor", ROBUSTNESS_METRIC} <= row.keys()
    ]
    most = max((row.get("n", 0) for row in usable), default=0)
    for row in usable:
        count = row.get("n", most)
        few = f" ({count:,} images)" if count < most else ""
        row["name"] = BASELINE_NAMES.get(str(row["name"]), str(row["name"])) + few
    return usable


def robustness_rows(results: StudyResults, found: Confirmations) -> tuple[pd.DataFrame, list[str]]:
    """Rows of every confirmation run's robustness.json, with configuration label and seed.

    Beside them notes on files that cannot be used; a run without the file is passed over.
    """
    rows: list[dict[str, Any]] = []
    notes = []
    for run in found.runs.to_dict("records"):
        try:
            path = results.tracker.artifact(run["run_id"], names.ROBUSTNESS_FILE)
            grid = [] if path is None else json.loads(path.read_text("utf-8"))
            own = {"configuration": found.marked(run["configuration"]), "seed": run["seed"]}
            rows += [
                own | {"n": row.get("n")} | {name: row[name] for name in ROBUSTNESS_COLUMNS}
                for row in grid
            ]
        except (TrackerError, ValueError, KeyError, TypeError) as error:
            notes.append(f"robustness.json of {run['trial']} cannot be used: {one_line(error)}")
    columns = ["configuration", "seed", "n", *ROBUSTNESS_COLUMNS]
    return pd.DataFrame(rows, columns=columns), notes
