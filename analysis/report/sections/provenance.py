"""Where the results come from, and the commands that make them again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from analysis.report.page import Block, Command, Facts, Prose, Section
from analysis.tracker.results import StudyResults

NAMES = {"git": "code", "data": "data (fingerprints)", "code": "code of the trials (hash)"}


def section(results: StudyResults) -> Section:
    """Facts from provenance.json, the study's command and the report's."""
    blocks: list[Block] = []
    facts = [(name, text) for name, text in _flat(results.provenance) if name != "command"]
    facts.append(("tracker", results.tracker.uri))
    if results.parent is not None:
        facts.append(("parent run", results.parent.run_id))
    if not results.provenance:
        blocks.append(Prose("The tracker holds no provenance.json for this study.", "notice"))
    blocks.append(Facts(tuple(facts)))
    command = results.info.get("command") or results.provenance.get("command")
    if command:
        blocks += [Prose("The study was started with"), Command(str(command))]
    blocks += [Prose("This page is made again with"), Command(report_command(results))]
    return Section("provenance", "Provenance", tuple(blocks))


def report_command(results: StudyResults) -> str:
    """The command for this study's report; a password in the address is not repeated."""
    words = ["python", "-m", "analysis.report", "--study", results.name]
    words += ["--tracking-uri", results.tracker.uri, "--out", "report"]
    return shlex.join(words)


def _flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts as 'name: value' pairs, one level of nesting in one line."""
    for name, fact in value.items():
        title = NAMES.get(name, name.replace("_", " "))
        if isinstance(fact, Mapping):
            yield above + title, ", ".join(f"{key} {_text(item)}" for key, item in fact.items())
        else:
            yield above + title, _text(fact)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value in (None, "") else str(value)
