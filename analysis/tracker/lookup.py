"""Which trial is meant: by its key, such as 0005, by its run's id, or by the first digits of that.

The one rule of all commands that take a trial. A key comes before a run id that begins so.
"""

from __future__ import annotations

from collections.abc import Iterable

from analysis.tracker import runs
from analysis.tracker.client import Record, Tracker, TrackerError
from studies.tracker import names

ID_LENGTH = 32  # hex digits of an MLflow run id
SHORTEST_ID = 6


class LookupFailedError(TrackerError):
    """No trial, or no single one, goes by what was given; the message says what to give."""


def places(text: str, trials: Iterable[tuple[str, str]]) -> list[int]:
    """Which of `trials`, each its key and its run's id, go by `text`."""
    text, both = text.strip().lower(), list(trials)
    keyed = [place for place, (key, _) in enumerate(both) if key == text]
    if keyed or len(text) < SHORTEST_ID:
        return keyed
    return [place for place, (_, run_id) in enumerate(both) if run_id.startswith(text)]


def run_id_of(tracker: Tracker, text: str, study: str | None = None) -> str:
    """The run's id alone; a whole one comes back as it is, and nothing is read."""
    whole = len(text) == ID_LENGTH and text.isalnum()
    return text if whole else find(tracker, text, study)[0].run_id


def find(tracker: Tracker, text: str, study: str | None = None) -> tuple[Record, list[Record]]:
    """The trial's run, and the other trials of its study.

    `study` says whose trial it is, where several studies have one of that key. Raises
    LookupFailedError, and TrackerError where there is no such study.
    """
    studies = [study] if study else tracker.studies()
    records_of = {name: tracker.records(name) for name in studies}
    all_runs = [(name, record) for name, records in records_of.items() for record in records]
    matches = [
        all_runs[place]
        for place in places(
            text, ((record.tags.get(names.TRIAL, ""), record.run_id) for _, record in all_runs)
        )
    ]
    if not matches:
        short = len(text.strip()) < SHORTEST_ID
        raise LookupFailedError(
            f"there is no trial {text!r} in {tracker.uri}"
            + (f", and a run id needs at least {SHORTEST_ID} digits" if short else "")
            + "; a study's trials.csv and its pages in MLflow name the runs"
        )
    if len(matches) > 1:
        raise LookupFailedError(_several(text, matches))
    name, record = matches[0]
    trials = [trial for trial in records_of[name] if runs.is_trial(trial)]
    if not runs.is_trial(record):
        raise LookupFailedError(f"run {text!r} is no trial but a study; {_some(trials)}")
    return record, [trial for trial in trials if trial is not record]


def _several(text: str, matches: list[tuple[str, Record]]) -> str:
    if matches[0][1].tags.get(names.TRIAL) == text.strip().lower():
        listed = ", ".join(repr(name) for name, _ in matches)
        return f"there are several trials {text}, of {listed}: name one with --study"
    ids = ", ".join(record.run_id for _, record in matches[:3])
    return f"run id {text!r} is not unique: {ids}; give more digits"


def _some(trials: list[Record]) -> str:
    done = [trial for trial in trials if trial.tags.get(names.STATUS) == "finished"]
    listed = ", ".join(f"{trial.run_id} ({trial.tags.get(names.TRIAL)})" for trial in done[:3])
    return f"give one of its trials: {listed}" if done else "none of its trials has finished"
