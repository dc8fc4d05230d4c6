"""A ledger that a disk has damaged: every line in turn, and what is left of the study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from studies.definition import Goal, Objective
from studies.ledger.journal import LedgerError
from studies.ledger.ledger import Ledger
from studies.ledger.mend import main, mend
from vae_trainables.config import TrialConfig

MSE = Objective("val/mse", "minimize")
REFERENCE = TrialConfig(dataset="digits")


def configure(trial: optuna.Trial) -> TrialConfig:
    return REFERENCE.model_copy(update={"lr": trial.suggest_float("lr", 1e-4, 1e-2)})


def written(folder: Path) -> Path:
    """Three finished trials, a confirmation, one that runs."""
    ledger = Ledger(folder, "s")
    ledger.create(Goal((MSE,), MSE), {"space": "x"})
    ledger.use_sampler(optuna.samplers.RandomSampler(seed=0))
    for number in range(4):
        trial = ledger.ask(configure, REFERENCE)
        ledger.start(trial)
        ledger.report(trial, 1, {"val/mse": 0.5 + number})
        if number < 3:
            ledger.end(trial, "finished", values=[0.5 + number], reason="")
    first = ledger.trials["0000"]
    ledger.plan("confirm", first.config, like=first, reference=False)
    ledger.close()
    return folder / "ledger.journal"


def facts(folder: Path) -> dict[str, tuple[Any, ...]]:
    ledger = Ledger(folder, "s")
    try:
        return {
            key: (t.status, t.config.optimiser.lr, t.config.seed, dict(t.reports), t.values)
            for key, t in ledger.trials.items()
        }
    finally:
        ledger.close()


def test_any_damaged_line_is_named_and_costs_one_trial_at_most(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole").read_bytes().split(b"\n")
    before = facts(tmp_path / "whole")
    folder = tmp_path / "s"
    folder.mkdir()
    path = folder / "ledger.journal"
    for number, line in enumerate(whole[:-2], start=1):
        broken = line[: len(line) // 2] + b"\0" + line[len(line) // 2 + 1 :]
        path.write_bytes(b"\n".join([*whole[: number - 1], broken, *whole[number:]]))
        with pytest.raises(LedgerError, match=rf"{path}:{number} is damaged .*studies.ledger.mend"):
            Ledger(folder, "s")
        if json.loads(line)["op_code"] == 0:
            with pytest.raises(LedgerError, match="restore the file from a copy"):
                mend(path)
            continue
        assert mend(path).damaged == [number]
        after = facts(folder)
        changed = [key for key in before if after.get(key) != before[key]]
        assert len(changed) <= 1, (number, line, changed)
        for kept in folder.glob("*.damaged-*"):
            assert broken in kept.read_bytes()
            kept.unlink()


def test_two_lost_creations_in_a_row_keep_what_follows_in_its_place(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = facts(tmp_path)
    lines = path.read_bytes().split(b"\n")
    second = [i for i, line in enumerate(lines) if line and json.loads(line)["op_code"] == 4][1]
    lines[second - 1] = b"\xff"
    lines[second] = b"{}"
    path.write_bytes(b"\n".join(lines))
    mended = mend(path)
    assert (mended.damaged, mended.recreated) == ([second, second + 1], 1)
    after = facts(tmp_path)
    assert {key: after[key] for key in ("0002", "0003")} == {
        key: before[key] for key in ("0002", "0003")
    }


def test_a_whole_ledger_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    assert main([str(path)]) == 0
    assert "no damaged line" in capsys.readouterr().out
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.journal"]


def test_a_ledger_in_use_is_not_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    ledger = Ledger(tmp_path, "s")
    assert main([str(path)]) == 2
    assert "is locked" in capsys.readouterr().err
    ledger.close()
    assert main([str(tmp_path / "none")]) == 2


def test_the_command_that_the_error_names_is_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "studies.ledger.mend", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot mend")
