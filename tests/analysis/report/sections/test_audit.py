"""The study's audit: regrets, overtuning, checklist, methods and sources."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from analysis.report import bibliography, checklist, methods
from analysis.report.page import Command, Plots, Prose, TableBlock
from analysis.report.sections import audit, confirmed
from analysis.statistics.incumbents import incumbents
from analysis.tracker.results import StudyResults
from tests.analysis import bulk_studies


def tables(results: StudyResults) -> dict[str, pd.DataFrame]:
    section = audit.section(results)
    assert section is not None
    return {b.stem: b.table.frame for b in section.blocks if isinstance(b, TableBlock)}


def answers(results: StudyResults) -> dict[str, tuple[str, str]]:
    outcome = confirmed.findings(results)
    frame = checklist.table(results, outcome[0] if outcome else None).frame
    return {row["practice"]: (row["answer"], row["evidence"]) for row in frame.to_dict("records")}


def test_a_confirmed_study_has_all_parts() -> None:
    section = audit.section(bulk_studies.results("whole"))
    assert section is not None
    kinds = [type(block) for block in section.blocks]
    assert kinds.count(Plots) == 1
    assert kinds.count(TableBlock) == 2
    assert isinstance(section.blocks[-1], Command)


@pytest.mark.parametrize("key", ["whole", "plain", "maximized"])
def test_incumbents_end_at_the_winner_with_no_regret(key: str) -> None:
    results = bulk_studies.results(key)
    steps = incumbents(results.search, results.objective.column, results.objective.direction)
    assert results.winner is not None
    assert (steps[-1].trial, steps[-1].regret) == (results.winner["trial"], 0.0)
    regrets = [step.regret for step in steps]
    assert regrets == sorted(regrets, reverse=True)
    spent = results.search[results.search["ended"].notna()]["epochs"].sum()
    assert steps[-1].epochs <= spent


def test_the_true_regret_stands_where_a_confirmation_knows_it() -> None:
    whole, plain = (tables(bulk_studies.results(key))["incumbents"] for key in ("whole", "plain"))
    known = whole["true"].dropna()
    assert len(known) >= 2
    assert (known >= 0).all()
    assert plain["true"].isna().all()


def test_overtuning_is_said_of_a_confirmed_study_alone() -> None:
    said = {
        key: " ".join(
            block.text
            for block in audit.section(bulk_studies.results(key)).blocks
            if isinstance(block, Prose)
        )
        for key in ("whole", "plain")
    }
    assert "Overtuning by its definition, among" in said["whole"]
    assert "Overtuning cannot be told" in said["plain"]


def test_the_checklist_says_yes_no_and_unknown_from_what_it_sees() -> None:
    whole, plain = (answers(bulk_studies.results(key)) for key in ("whole", "plain"))
    judged = "The winner is judged on fresh seeds"
    assert whole[judged][0] == "yes"
    assert plain[judged][0] == "no"
    assert whole["Limits of the study are discussed"] == ("unknown", checklist.AUTHORS)
    assert {answer for answer, _ in whole.values()} == {"yes", "no", "unknown"}


def test_a_search_that_opened_the_test_images_is_called_out() -> None:
    results = bulk_studies.results("whole")
    kept = "Test images are kept from the search"
    assert answers(results)[kept][0] == "yes"
    trials = results.trials.copy()
    searched = trials["phase"] == "search"
    trials.loc[searched, "test_opened"] = pd.Timestamp("2026-01-01", tz="UTC")
    answer, evidence = answers(replace(results, trials=trials))[kept]
    assert answer == "no"
    assert evidence == f"{int(searched.sum())} search trials opened the test images"


def test_seeds_that_the_search_has_seen_are_called_out() -> None:
    results = bulk_studies.results("whole")
    trials = results.trials.copy()
    trials.loc[trials["phase"] == "search", "seed"] = trials.loc[
        trials["phase"] == "confirm", "seed"
    ].iloc[0]
    seen = answers(replace(results, trials=trials))["The winner is judged on fresh seeds"]
    assert seen == ("no", "1 seeds of the confirmation were seen by the search")


def test_the_methods_have_the_numbers_of_the_tracker() -> None:
    results = bulk_studies.results("whole")
    outcome = confirmed.findings(results)
    assert outcome is not None
    text = methods.paragraph(results, outcome[0])
    search = results.search
    for said in (
        "fashion-mnist",
        f"Of {len(search):,} trials",
        f"{results.count('finished')} finished, {results.count('pruned')} were pruned",
        f"trained {int(search['epochs'].sum()):,} epochs in all",
        f"{len(outcome[0].seeds)} fresh seeds",
        "the tree-structured Parzen estimator",
        "torch 2.15.0",
    ):
        assert said in text
    assert "None" not in text
    unconfirmed = methods.paragraph(results, None)
    assert "No configuration was trained again on fresh seeds." in unconfirmed


def test_sources_are_those_that_were_used() -> None:
    results = bulk_studies.results("whole")
    text = bibliography.to_bibtex(results)
    keys = re.findall(r"@\w+\{(\w+),", text)
    assert len(keys) == len(set(keys))
    assert {"bergstra2011tpe", "xiao2017fashion", "akiba2019optuna", "paszke2019pytorch"} < {*keys}
    assert "lecun1998mnist" not in keys
    assert text.count("{") == text.count("}")
    on_mnist = results.trials.assign(**{"params.dataset": "mnist"})
    assert "lecun1998mnist" in bibliography.to_bibtex(replace(results, trials=on_mnist))


def test_a_study_without_a_search_has_no_audit() -> None:
    results = bulk_studies.results("whole")
    references = results.trials[results.trials["phase"] == "confirm"]
    assert audit.section(replace(results, trials=references)) is None
