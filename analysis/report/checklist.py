"""What good practice asks of a search, answered from the tracker as far as it can know.

After the guidelines of the COSEAL research network (Eimer et al. 2025, arXiv:2512.16491), in this
project's words: questions, design, execution, analysis, presentation. "unknown" is said where the
answer lies with the author alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.statistics.confirmation import Confirmation
from analysis.tables.table import Column, Table
from analysis.tracker.results import CONFIRM, SEARCH, StudyResults
from analysis.tracker.runs import FAILED

Answer = Literal["yes", "no", "unknown"]
Finding = tuple[Answer, str]
Check = Callable[[StudyResults, Confirmation | None], Finding]

AUTHORS = "the tracker cannot know: for the author to say"


@dataclass(frozen=True)
class Item:
    """A practice, and what finds out whether it was kept."""

    stage: str
    practice: str
    check: Check


def _author(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    return "unknown", AUTHORS


def _objective(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    if not results.info.get("objectives"):
        return "unknown", "the tracker holds no study.json"
    goals = ", ".join(f"{o.direction} {o.metric}" for o in results.objectives)
    return "yes", f"{goals}, recorded when the study began"


def _default(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    if results.reference is None:
        return "no", "no finished trial of the reference"
    return "yes", f"trial {results.reference['trial']} is the reference"


def _baselines(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    names = dict.fromkeys(str(row.get("name")) for row in results.baselines)
    if not names:
        return "no", "no baseline was measured"
    return "yes", ", ".join(names)


def _space(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    count = len(results.distributions)
    if not count:
        return "unknown", "the tracker holds no search space"
    return "yes", f"{count} hyperparameters with their ranges, in this report"


def _budget(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    settings = results.info.get("settings", {})
    if not settings:
        return "unknown", "the tracker holds no settings"
    trials, epochs, budget = (settings.get(name) for name in ("trials", "epochs", "budget"))
    asked = f"{trials} trials" if trials else "trials"
    asked += f" of at most {epochs} epochs"
    if budget:
        asked += f" within {budget}"
    spent = int(results.search["trained"].fillna(0).sum())
    return "yes", f"{asked} asked for, {spent:,} epochs trained"


def _search_seeds(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    seeds = results.seeds_per_configuration
    if seeds > 1:
        return "yes", f"{seeds} seeds for each configuration of the search"
    return "no", "one seed for each configuration: the search's own scores are single draws"


def _repeated(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    return "unknown", (
        "one search is one draw of the search method; whether it was repeated with other seeds of "
        "the sampler lies in other studies"
    )


def _held_out(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    opened = results.trials[results.trials["test_opened"].notna()]
    early = opened[opened["phase"] == SEARCH]
    if len(early):
        return "no", f"{len(early)} search trials opened the test images"
    if opened.empty:
        return "yes", "nobody has looked at the test images yet"
    return "yes", f"opened by {len(opened)} runs, none of them of the search"


def _fresh_seeds(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    if confirmation is None:
        return "no", "not confirmed: the winner's score is the one by which it was chosen"
    runs = results.trials[results.trials["phase"] == CONFIRM]
    shared = set(runs["seed"].dropna()) & set(results.search["seed"].dropna())
    if shared:
        return "no", f"{len(shared)} seeds of the confirmation were seen by the search"
    return "yes", f"{len(confirmation.seeds)} seeds that the search has not seen"


def _uncertainty(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    if confirmation is None:
        return "no", "without a confirmation there are no intervals"
    return "yes", (
        "95 % intervals over seeds, paired tests on common seeds, corrected for "
        f"{len(confirmation.comparisons)} comparisons"
    )


def _failures(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    failed = results.count(*FAILED)
    running = results.count("running")
    if running:
        return "no", f"{running} trials still run"
    return "yes", f"{failed} of {len(results.search)} search trials failed; all are listed"


def _code(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    git = results.provenance.get("git", {})
    commit = git.get("commit")
    if not commit:
        return "unknown", "no commit was recorded"
    dirty = " with uncommitted changes, kept as a patch" if git.get("dirty") else ""
    return "yes", f"commit {str(commit)[:12]}{dirty}"


def _versions(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    versions = results.provenance.get("versions", {})
    if not versions:
        return "unknown", "no versions were recorded"
    return "yes", ", ".join(f"{name} {version}" for name, version in versions.items())


def _machine(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    cpu = results.provenance.get("machine", {}).get("cpu")
    if not cpu:
        return "unknown", "no machine was recorded"
    devices = " and ".join(sorted(set(results.trials["device"].astype(str))))
    return "yes", f"{cpu}; trained on {devices}"


def _data(results: StudyResults, confirmation: Confirmation | None) -> Finding:
    prints = results.provenance.get("data", {})
    if not prints:
        return "unknown", "no fingerprints of the images were recorded"
    return "yes", "by fingerprint: " + ", ".join(f"{k} {v}" for k, v in prints.items())


ITEMS = (
    Item("question", "The objective was fixed before the search", _objective),
    Item("question", "Exploratory and confirmatory questions are told apart", _author),
    Item("design", "The default takes part in the search", _default),
    Item("design", "Baselines that are easy to beat or hard to beat stand beside", _baselines),
    Item("design", "The search space is stated in full", _space),
    Item("design", "The budget is stated, and what was spent of it", _budget),
    Item("design", "The space was chosen without looking at results on these data", _author),
    Item("design", "More than one data set, where the claim is about methods", _author),
    Item("execution", "Configurations are evaluated on several seeds", _search_seeds),
    Item("execution", "The search itself is repeated", _repeated),
    Item("execution", "Test images are kept from the search", _held_out),
    Item("execution", "Code is identified", _code),
    Item("execution", "Versions of libraries are recorded", _versions),
    Item("execution", "Hardware is recorded", _machine),
    Item("execution", "Data are identified", _data),
    Item("analysis", "The winner is judged on fresh seeds", _fresh_seeds),
    Item("analysis", "Uncertainty is shown and tests are corrected", _uncertainty),
    Item("presentation", "Failed and unfinished runs are reported", _failures),
    Item("presentation", "Limits of the study are discussed", _author),
    Item("presentation", "Code and data are open to readers", _author),
)


def table(results: StudyResults, confirmation: Confirmation | None) -> Table:
    """All practices with their answers."""
    rows = []
    for item in ITEMS:
        answer, evidence = item.check(results, confirmation)
        rows.append(
            {
                "stage": item.stage,
                "practice": item.practice,
                "answer": answer,
                "evidence": evidence,
            }
        )
    columns = (
        Column("stage", "stage"),
        Column("practice", "practice"),
        Column("answer", "kept"),
        Column("evidence", "as the tracker shows"),
    )
    answers = pd.Series([row["answer"] for row in rows]).value_counts()
    note = ", ".join(f"{count} {answer}" for answer, count in answers.items())
    return Table(columns, pd.DataFrame(rows), "Good practice", f"In all: {note}.")
