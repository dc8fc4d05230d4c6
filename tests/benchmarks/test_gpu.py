"""All GPU benchmarks in one command, tried on a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, measuring
from benchmarks.gpu import ERRORS, PAGE, Bench, Pictures, Usual
from benchmarks.gpu_page import Row, goals
from vae_trainables.cohort import Cohort

CPU = ["--device", "cpu", "--quick", "--models", "mlp", "--out"]
STRANGERS = ["ray", "mlflow", "optuna", "scipy", "sklearn", "skimage", "pandas", "torchvision"]
BARE = f"""
import sys
finders = list(sys.meta_path)
class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {STRANGERS}:
            return next((s for f in finders if (s := f.find_spec(name, path, target))), None)
sys.meta_path[:] = [Bare()]
from benchmarks.gpu import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_it_measures_everybody_and_writes_a_page_with_torch_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BARE, *CPU, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / PAGE).read_text()
    rows = json.loads((tmp_path / PAGE).with_suffix(".json").read_text())["rows"]
    assert [row["contestant"] for row in rows] == [
        "eager", "alone", "cohort-1", "cohort-2", "cohort-2-tf32", "cohort-2-bf16",
        "cohort-2-un-captured", "cohort-2-eager",
    ]  # fmt: skip
    assert all(row["seconds"] > 0 and row["over_usual"] > 0 for row in rows)
    assert "| mlp: trials per hour, × the usual way's |" in text
    assert "## Left out" not in text


def test_without_a_gpu_it_says_how_to_try_it(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("is about machines without one")
    assert gpu.main([]) == 2
    assert "torch sees no GPU" in capsys.readouterr().out


def bench(folder: Path, deadline: float) -> Bench:
    return Bench(torch.device("cpu"), measuring.made_up_data(256, 64), 1, deadline, folder)


def test_what_fails_is_said_and_the_rest_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any, **how: Any) -> Cohort:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(gpu, "Cohort", broken)
    measured = bench(tmp_path, float("inf"))
    measured.run("mlp", [1])
    assert [row.contestant for row in measured.rows] == ["eager", "alone"]
    assert len(measured.left_out) == 5
    assert "no kernel image" in measured.left_out[0]
    assert "in broken" in (tmp_path / ERRORS).read_text()


def test_nothing_is_begun_once_the_time_is_up(tmp_path: Path) -> None:
    late = bench(tmp_path, 0.0)
    late.run("mlp", [1])
    assert not late.rows
    assert late.left_out[0] == "mlp eager: no time was left"


def test_the_usual_way_trains_on_the_same_pixels() -> None:
    data = measuring.made_up_data(256, 64)
    image, label = Pictures(data.train)[3]
    assert torch.equal(image, data.train.images[3].float() / 255)
    assert label == 3
    usual = Usual(measuring.workload("mlp"), data, torch.device("cpu"))
    before = [parameter.clone() for parameter in usual.model.parameters()]
    usual()
    pairs = zip(before, usual.model.parameters(), strict=True)
    assert not any(torch.equal(old, new) for old, new in pairs)


def test_goals_are_judged_by_the_best_cohort_in_fp32() -> None:
    rows = [
        Row("mlp", "alone", 1, 30.0),
        Row("mlp", "cohort-8", 8, 2.0, 1.0, 150.0),
        Row("mlp", "cohort-32", 32, 1.0, 0.5, 300.0),
        Row("mlp", "cohort-32-bf16", 32, 0.1, 0.1, 3000.0),
    ]
    lines = goals(rows, {"mlp": 0.1}, 54_000)
    assert [line.split(" | ")[1:] for line in lines] == [
        ["300", "≥ 200", "reached |"],
        ["30", "≥ 15", "reached |"],
        ["5", "≤ 3", "missed |"],
        ["333", "≤ 10", "missed |"],
    ]
