"""Two or more trials of the user's choice side by side: settings that differ, curves, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.figures import courses, pictures
from analysis.figures.base import CLASS_COLORS
from analysis.figures.courses import Courses
from analysis.figures.curves import Curve
from analysis.figures.pictures import Grid
from analysis.models.trained import WeightsError, load
from analysis.report.page import Block, Command, PictureGrid, Plots, Prose, Section, TableBlock
from analysis.report.sections.images import SHOWN, class_names, psnr, spread
from analysis.report.selection import commands
from analysis.statistics.quantities import quantity
from analysis.statistics.search_space import label
from analysis.tables.table import Column, Table
from analysis.tracker import runs
from analysis.tracker.results import Examples, StudyResults
from analysis.tracker.runs import METRIC, PARAM

METRICS = ("val/psnr", "val/neg_elbo", "val/kl")
MOST = len(CLASS_COLORS)


class CompareError(ValueError):
    """Trials that cannot be compared; the message says why."""


def section(results: StudyResults, keys: Sequence[str]) -> Section:
    """Trials by their keys or run ids; raises CompareError where one is unknown."""
    trials = choose(results, keys)
    differing, same = settings_table(trials)
    blocks: list[Block] = [
        TableBlock(differing, "compared_settings"),
        Prose(f"{same} other settings are the same for all."),
        TableBlock(scores_table(results, trials), "compared_scores"),
    ]
    metrics = list(dict.fromkeys([*(o.metric for o in results.objectives), *METRICS]))
    history = runs.histories(trials["run_id"], metrics, tracker=results.tracker)
    drawn = [courses_of(trials, history, metric) for metric in metrics]
    blocks.append(Plots(tuple(courses.plot(course) for course in drawn if course.curves)))
    blocks += _pictures(results, trials)
    finished = trials.loc[trials["status"] == "finished", "trial"]
    blocks += [Command(text) for key in finished for text in commands(results, key).values()]
    return Section("compared", "Side by side", tuple(blocks))


def choose(results: StudyResults, keys: Sequence[str]) -> pd.DataFrame:
    """Rows of the trials, in the order of `keys`."""
    unique = list(dict.fromkeys(keys))
    if not 2 <= len(unique) <= MOST:
        raise CompareError(f"--compare wants 2 to {MOST} trials, got {len(unique)}")
    places = []
    for key in unique:
        trial = results.trial(key)
        if trial is None:
            best = ", ".join(results.ranked["trial"].tolist()[:5])
            raise CompareError(
                f"--compare {key!r}: the study has no such trial; its best are {best or 'none'}"
            )
        places.append(trial.name)
    return results.trials.loc[places]


def settings_table(chosen: pd.DataFrame) -> tuple[Table, int]:
    """The settings that differ, a row each; beside it how many are the same for all."""
    names = [str(name) for name in chosen.columns if str(name).startswith(PARAM)]
    texts = {name: [label(value) for value in chosen[name].tolist()] for name in names}
    differing = [name for name in names if len(set(texts[name])) > 1]
    keys = chosen["trial"].tolist()
    shown = {name: [_short(value) for value in chosen[name].tolist()] for name in differing}
    rows = [
        {"setting": name.removeprefix(PARAM), **dict(zip(keys, shown[name], strict=True))}
        for name in differing
    ]
    columns = (Column("setting", "setting"), *(Column(key, f"trial {key}") for key in keys))
    frame = pd.DataFrame(rows, columns=["setting", *keys])
    return Table(columns, frame, "Settings that differ"), len(names) - len(differing)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else label(value)


def scores_table(results: StudyResults, chosen: pd.DataFrame) -> Table:
    """Status, epochs and last scores of each trial."""
    metrics = dict.fromkeys([*(o.metric for o in results.objectives), "val/psnr", "val/ssim"])
    present = [
        name for name in metrics if METRIC + name in chosen and chosen[METRIC + name].notna().any()
    ]
    data: dict[str, Any] = {
        "trial": chosen["trial"].tolist(),
        "status": chosen["status"].str.replace("_", " ").tolist(),
        "epochs": chosen["epochs"].tolist(),
    } | {name: chosen[METRIC + name].tolist() for name in present}
    columns = [
        Column("trial", "trial"),
        Column("status", "status"),
        Column("epochs", "epochs", spec="d"),
        *(Column.of(quantity(name), name) for name in present),
    ]
    note = "Last values; one run each, not confirmed. A pruned trial has trained for less."
    return Table(tuple(columns), pd.DataFrame(data), "Scores", note)


def courses_of(chosen: pd.DataFrame, history: pd.DataFrame, metric: str) -> Courses:
    """Curves of the trials that have the metric."""
    rows = history[history["metric"] == metric].dropna().sort_values("epoch", kind="stable")
    by_run = dict(iter(rows.groupby("run_id")))
    lines = [
        Curve(
            trial["trial"],
            trial["status"],
            tuple(by_run[trial["run_id"]]["epoch"].tolist()),
            tuple(by_run[trial["run_id"]]["value"].tolist()),
        )
        for trial in chosen.to_dict("records")
        if trial["run_id"] in by_run
    ]
    return Courses(metric, tuple(lines))


def _pictures(results: StudyResults, trials: pd.DataFrame) -> list[Block]:
    """The same images by each trial that has weights; a note for each that has none."""
    if results.examples is None:
        return [Prose("The tracker holds no example images, so none are shown.", "notice")]
    lines: list[tuple[str, Any]] = []
    notes: list[Block] = []
    places = spread(results.examples.labels, SHOWN)
    for trial in trials.to_dict("records"):
        try:
            model = load(results.tracker, trial["run_id"], trial["trial"])
        except WeightsError as error:
            notes.append(Prose(f"No pictures of trial {trial['trial']}: {error}.", "notice"))
            continue
        images = model.denoise(results.examples.noisy[places], results.examples.labels[places])
        lines.append((f"trial {trial['trial']}", images))
    if not lines:
        return notes
    return [*notes, PictureGrid(_grid(results, results.examples, places, lines))]


def _grid(
    results: StudyResults, examples: Examples, places: Any, lines: list[tuple[str, Any]]
) -> Grid:
    clean, noisy = examples.images[places], examples.noisy[places]
    names = class_names(results, examples.labels[places])
    rows = [pictures.row("clean", clean, names)]
    for who, images in [("noisy input", noisy), *lines]:
        texts = [f"{value:.1f}" for value in psnr(images, clean)]
        rows.append(pictures.row(who, images, names, texts=texts))
    caption = (
        f"The same {len(places)} {examples.split_name} images by each, {examples.noise}; below "
        "each its PSNR in dB."
    )
    return Grid("compared_grid", "On the same images", caption, tuple(rows), tuple(names))
