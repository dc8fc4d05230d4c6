"""Opening a study: new or resumed, and whether what changed since allows to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.definition import DEFAULT_SPACE
from studies.errors import InputError
from studies.ledger.ledger import Ledger
from studies.runner import provenance, warm_start
from studies.runner.planning import Plan

if TYPE_CHECKING:
    from vae_trainables.datasets.splits import TrialData

# Facts without which results of one study could not be compared with each other.
DECISIVE = {
    "data": "the data set",
    "space": "the search space",
    "objectives": "the objectives",
    "prune_on": "the pruning metric",
    "population": "the population of --scheduler pbt (--trials, --grace, --eta)",
    "fixed": "the fixed part of the configuration",
    "code": "the code of vae_trainables",
    "source": "the study's own file",
}

SPACE = ("space", "fixed")  # what leads from a sampler's parameters to a configuration


def check_folder(plan: Plan, folder: Path) -> None:
    """Raise InputError where the flags and what lies in the folder contradict each other."""
    there = (folder / "ledger.journal").exists()
    goes_on = plan.settings.resume or plan.settings.confirm_only
    if there and not goes_on:
        raise InputError(
            f"the study {plan.name!r} exists in {folder.parent}: add --resume to go on with it, "
            "or give the new one another name with --study"
        )
    if goes_on and not there:
        raise InputError(
            f"there is no study {plan.name!r} in {folder.parent} to go on with: start it without "
            "--resume, or name the right --study and --storage"
        )


def facts(plan: Plan, data: TrialData) -> dict[str, Any]:
    """What the ledger remembers of a study."""
    return {
        **plan.fingerprint(),
        "data": [data.train.fingerprint(), data.val.fingerprint()],
        "code": provenance.code_hash(),
        "source": plan.definition.source.digest() if plan.definition.source else "",
        "versions": provenance.versions(),
        "kind": plan.definition.kind,
    }


@contextmanager
def open_ledger(plan: Plan, folder: Path, found: dict[str, Any]) -> Iterator[tuple[Ledger, str]]:
    """The study's ledger, and what there is to say about it; raises InputError or LedgerError."""
    check_folder(plan, folder)
    ledger = Ledger(folder, plan.name)
    try:
        remarks = [ledger.journal.repaired] if ledger.journal.repaired else []
        warm_start.check(plan.settings.warm_start, ledger.facts() if ledger.exists else found)
        if ledger.exists:
            before = ledger.facts()
            if plan.settings.confirm_only:  # nobody is judged any more
                found = found | {name: before[name] for name in ("population",) if name in before}
            remarks += changes(before, found, allow=plan.settings.allow_changed)
            moved = any(before.get(name) != found[name] for name in SPACE)
            ledger.pursue(plan.goal, plan.express if moved else None)
            remarks += untaught(ledger)
            ledger.set_facts(found)
        else:
            ledger.create(plan.goal, found)
        yield ledger, "; ".join(remarks)
    finally:
        ledger.close()


def untaught(ledger: Ledger) -> list[str]:
    """How many results of the search say nothing to the sampler any more, in words."""
    ended = [t for t in ledger.trials.values() if t.phase == "search" and t.status == "finished"]
    count = sum(trial.outside or trial.values is None for trial in ended)
    if not count:
        return []
    return [
        f"{count} of {len(ended)} finished trials are kept, but the sampler does not learn from "
        "them: they lie outside of the present space, or an objective was not measured"
    ]


def changes(before: dict[str, Any], now: dict[str, Any], *, allow: bool) -> list[str]:
    """What is different, in words; InputError if that forbids to go on."""
    decisive = [
        words for name, words in DECISIVE.items() if before.get(name, "") != now.get(name, "")
    ]
    searched = before.get("space_name", DEFAULT_SPACE), now["space_name"]
    if searched[0] != searched[1]:
        decisive[decisive.index(DECISIVE["space"])] += f" (--space was {searched[0]})"
    if decisive and not allow:
        raise InputError(
            f"{' and '.join(decisive)} changed since this study began, so new results would not "
            "be comparable with its old ones: restore what it was, start another --study, or "
            "insist with --allow-changed"
        )
    remarks = [f"{words} changed since this study began" for words in decisive]
    old, new = before.get("versions", {}), now["versions"]
    return remarks + [
        f"{name} was {old[name]}, is {new[name]}"
        for name in new
        if old.get(name, new[name]) != new[name]
    ]
