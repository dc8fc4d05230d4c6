"""Spaces by name: chosen, shown, told apart when a study goes on; the default is what it was."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from studies import families
from studies.definition import StudyDefinition
from studies.denoise_sweep import STUDY
from studies.errors import InputError
from studies.runner import cli, resuming
from studies.runner.planning import make_plan
from studies.runner.settings import Settings
from studies.runner.spaces import described
from tests.studies.search.simulated import Simulation, facts
from vae_trainables.config import stable_hash


def narrow(trial: optuna.Trial) -> dict[str, Any]:
    kind = trial.suggest_categorical("kind", ["conv_vae", "conv_ae"])
    fields: dict[str, Any] = {"kind": kind, "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}
    if kind == "conv_vae":
        fields["beta"] = trial.suggest_float("beta", 0.0, 4.0)
        if fields["beta"] > 2:
            fields["free_bits"] = trial.suggest_float("free_bits", 0.0, 1.0, step=0.5)
    return fields


OWN = replace(STUDY, other_spaces={"narrow": narrow})


def rows(text: str, space: str) -> dict[str, list[str]]:
    """Cells by parameter of one space's table."""
    part = text.partition(f"space {space}: ")[2].split("\n\n")[1]
    return {line.split()[0]: re.split(r"\s{2,}", line) for line in part.splitlines()[1:]}


def test_show_prints_every_space_with_the_references_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(OWN, vars(Settings(space="show"))) == 0
    text = capsys.readouterr().out
    assert "denoise_sweep, space default: 10 parameters" in text
    shown = rows(text, "narrow")
    assert set(shown) == {"kind", "lr", "beta", "free_bits"}
    assert "0.0001 to 0.01, logarithmic" in shown["lr"]
    assert shown["lr"][-1] == "50%"
    assert shown["beta"][-1] == "25%"
    assert "kind = conv_vae" in shown["beta"]
    assert "0 to 1 by 0.5" in shown["free_bits"]
    assert shown["free_bits"][2].endswith("% of draws"), "no single choice decides"
    assert shown["free_bits"][-1] == "–"


def test_a_shown_space_is_as_pins_leave_it() -> None:
    shown = rows(described(OWN, Settings(set=["kind=conv_ae"])), "narrow")
    assert set(shown) == {"lr"}


def test_an_unknown_space_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(OWN, vars(Settings(space="broad"))) == InputError.exit_code
    error = capsys.readouterr().err
    assert "denoise_sweep has default, narrow" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["default", "show"])
def test_words_of_the_flag_are_no_names_of_spaces(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(STUDY, other_spaces={name: narrow})


def test_the_default_space_is_the_one_that_was_there_before_names() -> None:
    """Its hash stands in the ledgers of studies that were begun before there were others."""
    assert make_plan(OWN, Settings()).fingerprint()["space"] == stable_hash(
        inspect.getsource(STUDY.space)
    )


def test_a_named_space_is_told_by_ranges_that_a_function_of_others_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = make_plan(STUDY, Settings(space="wide")).fingerprint()
    assert before == make_plan(STUDY, Settings(space="wide")).fingerprint()
    fewer = families.descent

    def descent(trial: optuna.Trial) -> dict[str, Any]:
        return fewer(trial) | {"weight_decay": trial.suggest_float("weight_decay", 0.0, 0.1)}

    monkeypatch.setattr(families, "descent", descent)
    assert before["space"] != make_plan(STUDY, Settings(space="wide")).fingerprint()["space"]


def opened(definition: StudyDefinition, folder: Path, space: str) -> None:
    plan = make_plan(definition, Settings(trials=4, epochs=3, space=space, resume=True))
    with resuming.open_ledger(plan, folder, facts(plan)):
        pass


def test_a_study_goes_on_in_its_space_alone(tmp_path: Path) -> None:
    settings = Settings(trials=4, epochs=3, space="narrow")
    Simulation(OWN, settings, tmp_path / "s").run()
    opened(OWN, tmp_path / "s", "narrow")
    with pytest.raises(InputError, match=r"the search space \(--space was narrow\) changed"):
        opened(OWN, tmp_path / "s", "default")
    twice = replace(OWN, other_spaces={"narrow": narrow, "again": narrow})
    with pytest.raises(InputError, match=r"--space was narrow"):
        opened(twice, tmp_path / "s", "again")


def test_a_study_from_before_there_were_names_goes_on() -> None:
    plan = make_plan(STUDY, Settings())
    before = {name: fact for name, fact in facts(plan).items() if name != "space_name"}
    assert resuming.changes(before, facts(plan), allow=False) == []
    with pytest.raises(InputError, match=r"--space was default"):
        resuming.changes(before, facts(make_plan(STUDY, Settings(space="wide"))), allow=False)
