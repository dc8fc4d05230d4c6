"""The doctor: clear without a GPU, and each check a line, whatever happens in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from studies import doctor
from studies.doctor import Examination, Line, verdict
from studies.workers.verdict import VERDICT, convolution
from tests.vae_trainables.cohort.support import config
from vae_trainables.cohort import Cohort, proof
from vae_trainables.config import TrialConfig

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without one")
SMALL = {"mlp": config(batch_size=16, noise_factor=0.4)}


def test_without_a_gpu_it_says_so_and_is_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.main(["--storage", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"torch: {torch.__version__}" in printed
    assert "no GPU to examine: studies train on CPUs" in printed
    assert json.loads((tmp_path / VERDICT).read_text())["lines"] == []


def test_more_gpus_than_there_are_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.main(["--gpus", "2", "--storage", str(tmp_path)]) == 2
    assert "--gpus is 2; torch sees 0" in capsys.readouterr().out


def examined(folder: Path, models: dict[str, TrialConfig] = SMALL) -> dict[str, Line]:
    examination = Examination(torch.device("cpu"), folder, models, slots=(1, 2))
    examination.run()
    return {line.name: line for line in examination.lines}


def test_every_check_is_a_line_with_its_figures(tmp_path: Path) -> None:
    lines = examined(tmp_path)
    assert list(lines) == [
        "cpu kernels",
        "cpu mlp 1 slots",
        "cpu mlp 2 slots",
        "cpu mlp bf16",
        "cpu mlp eager",
    ]
    assert {line.status for line in lines.values()} == {"ok"}
    assert lines["cpu mlp 2 slots"].images_per_s > 0


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("stacked steps differ by 12.0% from a trial's own", "wrong"),
        ("stacked steps failed: RuntimeError: misaligned address", "failed"),
        ("8 slots train 1 images/s, a trial alone 2", "slower"),
    ],
)
def test_what_a_proof_says_is_the_lines_status(
    reason: str, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cohort, "prove", lambda self: reason)
    line = examined(tmp_path)["cpu mlp 2 slots"]
    assert (line.status, reason in line.detail) == (status, True)


def test_a_check_that_raises_leaves_its_traceback_and_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, steps: int) -> float:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(Cohort, "rehearse", broken)
    monkeypatch.setattr(proof, "images_per_s", lambda trial: 0.0)
    lines = examined(tmp_path)
    assert [line.status for line in lines.values()] == ["ok", *["failed"] * 4]
    assert "in broken" in (tmp_path / doctor.TRACEBACKS).read_text()


def test_the_faster_convolution_is_the_verdict_and_is_obeyed(tmp_path: Path) -> None:
    def lines(grouped: Any, im2col: float) -> list[Line]:
        return [
            Line("cuda:0 conv 8 slots", grouped, "", 100.0),
            Line("cuda:0 conv im2col", "ok", "", im2col),
        ]

    assert verdict(lines("ok", 90.0)) == {"convolution": "grouped"}
    assert verdict(lines("ok", 110.0)) == {"convolution": "im2col"}
    assert verdict(lines("failed", 90.0)) == {"convolution": "im2col"}
    assert verdict([]) == {"convolution": "grouped"}
    assert convolution(tmp_path) == "grouped"
    (tmp_path / VERDICT).write_text(json.dumps({"verdict": verdict(lines("ok", 110.0))}))
    assert convolution(tmp_path) == "im2col"
    (tmp_path / VERDICT).write_text("{")
    assert convolution(tmp_path) == "grouped"
