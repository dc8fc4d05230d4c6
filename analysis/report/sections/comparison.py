"""The winner against the reference, the baselines and the printed figures, each on its split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.figures import message
from analysis.figures.base import Plot
from analysis.report.page import Block, KeyNumber, Section, TableBlock
from analysis.report.sections import confirmed
from analysis.statistics.quantities import Quantity, quantity, sign
from analysis.tables.table import Column, Table
from analysis.tracker.results import SPLITS, Examples, StudyResults
from analysis.tracker.runs import METRIC, PARAM, class_note

BEST = 5  # trials shown as the best
LISTED = 100  # trials in the long table; all are in trials.csv
SPLITS_SHOWN = ("test", "val")
SCORES = ("mse", "psnr", "ssim", "predicted_mse", "neg_elbo", "iw_nll", "probe", "frechet")
SAMPLES_BEFORE, IMAGES_BEFORE = 64, 256  # of the bound, before runs said so
DO_NOTHING = "do nothing"
LOOKUP = "lookup"
WIENER = "wiener"  # the whole filter; that of a rank is another row

# The figures that the reference system's own report prints, for its data set and noise.
PRINTED = {"mse": 0.018064, "psnr": 17.962, "ssim": 0.5950}
PRINTED_FOR = {"dataset": "fashion-mnist", "eval_noise_kind": "gaussian", "eval_noise_factor": 0.45}


# What a baseline does, in half a line; the longest fitting name counts.
MEANINGS = {
    DO_NOTHING: "the noisy image as it is",
    "mean image": "the same for all: the mean training image",
    "wiener": "the best linear filter, from the training images",
    "wiener rank": "the best linear filter through so few numbers",
    "pca": "projection on the training images' main directions",
    "total variation": "smooths and keeps edges",
    "non-local means": "averages patches that look alike",
    "ceiling": "a small network without a bottleneck: what is to be had at that size",
    LOOKUP: "mean of the training images that explain the noisy one",
    "reference system": "its own report's figure, on images of its own choice",
}


@dataclass(frozen=True)
class Entry:
    """A row: whose scores, on which split; `low` and `high` hold intervals where there are any.

    `images` is how many the scores are a mean over, where the tracker says so.
    """

    name: str
    group: str
    split: str
    scores: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    images: int | None = None

    @classmethod
    def plain(
        cls, name: str, group: str, split: str, scores: dict[str, float], images: int | None = None
    ) -> Entry:
        """A row without intervals."""
        return cls(name, group, split, scores, {}, {}, images)

    @property
    def meaning(self) -> str:
        """What a baseline does; nothing for trials."""
        fitting = [text for text in MEANINGS if self.name.startswith(text)]
        trained = self.group not in ("baseline", "printed")
        return "" if trained or not fitting else MEANINGS[max(fitting, key=len)]


def section(results: StudyResults, entries: list[Entry]) -> Section:
    """The comparison table and the list of the best trials."""
    bound = bound_note(results)
    blocks: list[Block] = [
        TableBlock(comparison_table(rows, bound), f"comparison_{SPLITS[split]}")
        for split in SPLITS_SHOWN
        if (rows := [entry for entry in entries if entry.split == split])
    ]
    if len(results.ranked) > 1:
        blocks.append(TableBlock(best_table(results), "best_trials"))
    return Section("comparison", "Winner, reference and baselines", tuple(blocks))


def entries_of(results: StudyResults) -> list[Entry]:
    """All rows: confirmed configurations, best trials, reference, baselines, printed figures."""
    scores = scores_of(results)
    entries = confirmed.entries(results, scores, Entry)
    best = results.ranked.iloc[:BEST]
    for place, (_, trial) in enumerate(best.iterrows()):
        group = "winner" if place == 0 else "best"
        entries.append(_trial(trial, f"{place + 1}. trial {trial['trial']}", group, scores))
    if results.reference is not None:
        name = f"reference (trial {results.reference['trial']})"
        entries.append(_trial(results.reference, name, "reference", scores))
    entries += baselines(results)
    if printed_applies(results):
        entries.append(
            Entry.plain("reference system R2 as printed", "printed", "test", dict(PRINTED))
        )
    return [entry for entry in entries if entry.scores]


def scores_of(results: StudyResults) -> tuple[str, ...]:
    """What is compared, in order: what every study measures, and what this one's own file does."""
    return (*SCORES, *results.own_metrics)


def _trial(trial: pd.Series[Any], name: str, group: str, scores: Sequence[str]) -> Entry:
    values = {
        score: float(trial[f"{METRIC}val/{score}"])
        for score in scores
        if pd.notna(trial.get(f"{METRIC}val/{score}"))
    }
    note = class_note(trial.to_dict())
    return Entry.plain(f"{name}, {note}" if note else name, group, "val", values)


def baselines(results: StudyResults) -> list[Entry]:
    """From baselines.json; doing nothing is measured on the examples where that file lacks it."""
    entries = []
    for row in results.baselines:
        scores = {
            name: float(row[name]) for name in scores_of(results) if _is_number(row.get(name))
        }
        name = str(row.get("name", "baseline"))
        if row.get("components"):
            name += f", {row['components']} components"
        images = int(row["n"]) if _is_number(row.get("n")) else None
        split = str(row.get("split", "val"))
        entries.append(Entry.plain(name, "baseline", split, scores, images))
    if results.examples is not None and not any(e.name == DO_NOTHING for e in entries):
        entries.insert(0, do_nothing(results.examples))
    return entries


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def do_nothing(examples: Examples) -> Entry:
    """The noisy images themselves, scored against the clean ones."""
    count = len(examples.images)
    return Entry.plain(
        f"{DO_NOTHING} (noisy; first {count} images)",
        "baseline",
        examples.split,
        image_scores(examples.noisy, examples.images),
        count,
    )


def image_scores(images: Any, clean: Any) -> dict[str, float]:
    """Mean MSE, PSNR (dB) and SSIM of uint8 or [0, 1] images `(N, C, H, W)`."""
    import torch

    from vae_trainables import metrics

    first, second = (
        torch.from_numpy(np.asarray(batch, np.float32) / (255 if batch.dtype == np.uint8 else 1))
        for batch in (images, clean)
    )
    measures = {"mse": metrics.mse, "psnr": metrics.psnr, "ssim": metrics.ssim}
    return {name: float(measure(first, second).mean()) for name, measure in measures.items()}


def printed_applies(results: StudyResults) -> bool:
    """Whether the study was judged on the data and noise that the printed figures are for."""
    fixed = dict(results.info.get("reference", {}))
    if not fixed and results.reference is not None:
        fixed = {name: results.reference.get(PARAM + name) for name in PRINTED_FOR}
    return all(fixed.get(name) == value for name, value in PRINTED_FOR.items())


def bound_note(results: StudyResults) -> str:
    """By how many samples and on how many images log p(x) is bounded; empty where it is not."""
    rows = results.trials
    if METRIC + "test/iw_nll" not in rows:
        return ""
    rows = rows[rows[METRIC + "test/iw_nll"].notna()]

    def numbers(what: str, before: int) -> str:
        column = METRIC + f"test/iw_{what}"
        values = rows[column].fillna(before) if column in rows else pd.Series([before])
        return " or ".join(f"{value:,.0f}" for value in sorted(set(values)))

    return (
        f" {quantity('iw_nll').label}: {numbers('samples', SAMPLES_BEFORE)} samples per image, on "
        f"the first {numbers('images', IMAGES_BEFORE)} test images."
    )


def comparison_table(entries: list[Entry], bound: str = "") -> Table:
    """Rows of one split with every score that any of them has; trials first, then baselines.

    bound: to be said below the table where it shows the bound on log p(x).

    Bold is the best on the split's own images: not a figure that was printed elsewhere, nor one
    from fewer images than the other baselines have seen.
    """
    names = dict.fromkeys([*SCORES, *(name for entry in entries for name in entry.scores)])
    present = [name for name in names if any(name in entry.scores for entry in entries)]
    spread = [name for name in present if any(name in entry.low for entry in entries)]
    most = max((entry.images or 0 for entry in entries), default=0)
    rows = [_row(entry, present, most) for entry in entries]
    columns = [Column("name", "what")]
    for name in present:
        limits = {"low": f"{name}_low", "high": f"{name}_high"} if name in spread else {}
        columns.append(Column.of(quantity(name), name, **limits))
    if any(entry.images for entry in entries):
        columns.append(Column("images", "images", spec="d"))
    if any(entry.meaning for entry in entries):
        columns.append(Column("meaning", "what it does"))
    split = SPLITS.get(entries[0].split, entries[0].split) if entries else "no"
    note = "" if split == "test" else (
        "Scores of single trials are chosen as the best of many, so they flatter. "
    )  # fmt: skip
    note += f"Bold: best of the column on all {split} images."
    if "iw_nll" in present:
        note += bound
    if spread:
        note += " In brackets: 95 % intervals over fresh seeds."
    return Table(tuple(columns), pd.DataFrame(rows), f"On {split} images", note, "plain")


def _row(entry: Entry, present: list[str], most: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": entry.name,
        "images": entry.images,
        "meaning": entry.meaning,
        "plain": entry.group == "printed" or (entry.images or most) < most,
    }
    for name in present:
        row[name] = entry.scores.get(name)
        row[f"{name}_low"], row[f"{name}_high"] = entry.low.get(name), entry.high.get(name)
    return row


def best_table(results: StudyResults, limit: int = LISTED) -> Table:
    """The best finished trials with their searched parameters."""
    best = results.ranked.iloc[:limit]
    metrics = [objective.metric for objective in results.objectives]
    others = ["val/psnr", "val/ssim", "val/neg_elbo", *map("val/{}".format, results.own_metrics)]
    metrics = list(dict.fromkeys([*metrics, *others]))
    data: dict[str, Any] = {
        "place": range(1, len(best) + 1),
        "trial": best["trial"].tolist(),
    }
    columns = [Column("place", "place", spec="d"), Column("trial", "trial")]
    for metric in metrics:
        if METRIC + metric in best and best[METRIC + metric].notna().any():
            data[metric] = best[METRIC + metric].tolist()
            columns.append(Column.of(quantity(metric), metric))
    notes = [class_note(trial) for trial in best.to_dict("records")]
    if any(notes):
        data["classes"] = [note or None for note in notes]
        columns.append(Column("classes", "classes"))
    for name in results.varied:
        values = best[PARAM + name]
        numeric = pd.api.types.is_numeric_dtype(values) and values.dtype != bool
        data[PARAM + name] = values.tolist()
        columns.append(Column(PARAM + name, name, spec=".4g" if numeric else None))
    frame = pd.DataFrame(data)
    shown = f"{len(best)} of {len(results.ranked)}" if len(best) < len(results.ranked) else "all"
    note = f"Shown: {shown} finished trials. Every trial with every setting is in trials.csv."
    return Table((columns[1], columns[0], *columns[2:]), frame, "Best trials", note)


def headline(results: StudyResults, entries: list[Entry]) -> tuple[str, ...]:
    """What the comparison says, in sentences; the confirmation's own where there is one."""
    if results.winner is None:
        return ()
    sentences = list(confirmed.sentences(results)[:2]) or [_unconfirmed(results)]
    judged = next((e for e in entries if e.group == "confirmed winner"), None)
    judged = judged or next((e for e in entries if e.group == "winner"), None)
    rivals = [e for e in entries if e.group == "baseline"]
    if judged is not None:
        sentences += baseline_sentences(judged, rivals, results.objective.metric)
    return tuple(sentences)


def message_plot(results: StudyResults, entries: list[Entry]) -> Plot | None:
    """Confirmed configurations among the baselines on test images.

    Where nothing is confirmed, winner and reference on validation images. None without a winner.
    """
    confirmed_rows = [entry for entry in entries if entry.group.startswith("confirmed")]
    searched = [entry for entry in entries if entry.group in ("winner", "reference")]
    trained = confirmed_rows or searched
    if not trained:
        return None
    split, name = trained[0].split, _shared_score(trained, entries, results.objective.metric)
    rivals = [e for e in entries if e.group == "baseline" and e.split == split and name in e.scores]
    trained = [entry for entry in trained if name in entry.scores]
    if not trained:
        return None
    most = max((entry.images or 0 for entry in rivals), default=0)
    marks = message.info(
        f"{split}/{name}",
        [_mark(entry, name, most) for entry in trained],
        [_mark(entry, name, most) for entry in rivals],
    )
    caption = (
        "Bars are 95 % intervals over fresh seeds."
        if confirmed_rows
        else "Not confirmed: one run each, the winner chosen by this very score."
    )
    return message.plot(marks, caption)


def _shared_score(trained: list[Entry], entries: list[Entry], metric: str) -> str:
    """The objective if baselines on the split have it, else PSNR if they have that."""
    objective = metric.rpartition("/")[2]
    rivals = [e for e in entries if e.group == "baseline" and e.split == trained[0].split]
    shared = [name for name in (objective, "psnr") if any(name in e.scores for e in rivals)]
    return shared[0] if shared else objective


def _mark(entry: Entry, name: str, most: int) -> message.Mark:
    colors = {"winner": "--best", "reference": "--reference", "baseline": "--other"}
    color = colors.get(entry.group.removeprefix("confirmed").strip(), "--finished")
    label = entry.name.partition(", confirmed on ")[0]
    label = confirmed.BASELINE_NAMES.get(label, label)
    label += {"confirmed winner": " (winner)"}.get(entry.group, "")
    if entry.images and entry.images < most:
        label += f" ({entry.images:,} images)"
    return message.Mark(label, color, entry.scores[name], entry.low.get(name), entry.high.get(name))


def confirmed_numbers(results: StudyResults, entries: list[Entry]) -> tuple[KeyNumber, ...]:
    """Winner, reference and the whole linear filter on test images; empty if not confirmed."""
    tested = [e for e in entries if e.split == "test"]
    winner = next((e for e in tested if e.group == "confirmed winner"), None)
    reference = next((e for e in tested if e.group == "confirmed reference"), None)
    wiener = next((e for e in tested if e.name == WIENER), None)
    name = "psnr" if wiener else results.objective.metric.rpartition("/")[2]
    shown = {"winner": winner, "reference": reference, "Wiener filter": wiener}
    if winner is None or name not in winner.scores:
        return ()
    return tuple(_number(what, e, name) for what, e in shown.items() if e and name in e.scores)


def _number(what: str, entry: Entry, name: str) -> KeyNumber:
    measure = quantity(f"{entry.split}/{name}")
    note = entry.name if entry.name != WIENER else "learns no network"
    if name in entry.low:
        limits = (measure.text(entry.low[name]), measure.text(entry.high[name]))
        note += f"; 95 % interval {' to '.join(limits)}"
    return KeyNumber(f"{what}, {measure.label}", measure.with_unit(entry.scores[name]), note)


def _unconfirmed(results: StudyResults) -> str:
    winner, reference = results.winner, results.reference
    assert winner is not None
    measure = quantity(results.objective.metric)
    column = results.objective.column
    text = f"The search's best is trial {winner['trial']} with {_said(measure, winner[column])}"
    same = reference is not None and reference["trial"] == winner["trial"]
    if reference is None or same or pd.isna(reference.get(column)):
        return text + ". It is not confirmed on fresh seeds, so part of this is luck."
    fine = measure.difference()
    gap = sign(results.objective.direction) * (winner[column] - reference[column])
    side = "better" if gap > 0 else "worse"
    return (
        f"{text}, {fine.with_unit(abs(gap))} {side} than the reference on the search's own seed. "
        "It is not confirmed on fresh seeds, so part of this is luck."
    )


def _said(measure: Quantity, value: float) -> str:
    return f"{measure.label} {measure.with_unit(value)}"


def baseline_sentences(judged: Entry, rivals: list[Entry], metric: str) -> list[str]:
    """Which baselines the winner beats, by the objective if baselines have it, else by PSNR."""
    name = metric.rpartition("/")[2]
    if not any(name in rival.scores for rival in rivals):
        name = "psnr"
    measure = quantity(name)
    if name not in judged.scores or measure.direction is None:
        return []
    same = [e for e in rivals if name in e.scores and e.split == judged.split]
    comparable = same or [e for e in rivals if name in e.scores]
    better = sign(measure.direction)
    mine = judged.scores[name]
    beaten = [e.name for e in comparable if better * (mine - e.scores[name]) > 0]
    ahead = [e for e in comparable if better * (mine - e.scores[name]) <= 0]
    if not comparable:
        return []
    where = f" (winner on {SPLITS[judged.split]}, baselines on other images)" if not same else ""
    sentence = f"By {measure.label}{where} it beats " + (
        _listed(beaten) if beaten else "no baseline"
    )
    if ahead:
        sentence += "; it does not beat " + _listed(
            [f"{rival.name} ({measure.with_unit(rival.scores[name])})" for rival in ahead]
        )
    return [sentence + "."]


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
