"""The doctor: clear without a GPU, and each check a line, whatever happens in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from studies.doctor import checks, machine
from studies.doctor.__main__ import PAGE, main, written
from studies.doctor.checks import Check, Examination
from studies.doctor.line import Line
from studies.doctor.report import verdict
from studies.runner.run import cohort_way, ways_of
from studies.runner.settings import Settings
from studies.workers.verdict import VERDICT, Verdict, read
from tests.vae_trainables.cohort.support import config
from vae_trainables import kinds
from vae_trainables.cohort import Cohort, Ways, proof

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without one")
SMALL = {"mlp": config(batch_size=16, noise_factor=0.4)}


def test_without_a_gpu_it_says_so_and_is_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--storage", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"torch: {torch.__version__}" in printed
    assert "no GPU to examine: studies train on CPUs" in printed
    assert json.loads((tmp_path / VERDICT).read_text())["lines"] == []


def test_more_gpus_than_there_are_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--gpus", "2", "--storage", str(tmp_path)]) == 2
    assert "--gpus is 2; torch sees 0" in capsys.readouterr().out


class Some(Examination):
    """Only the checks of these names; all of them take a quarter of a minute."""

    only: tuple[str, ...] = ()

    def _checks(self) -> Iterator[tuple[str, Check]]:
        checks = super()._checks()
        return ((name, check) for name, check in checks if not self.only or name in self.only)


def examined(folder: Path, *only: str) -> dict[str, Line]:
    examination = Some(torch.device("cpu"), folder, SMALL, slots=(1, 2), families=False)
    examination.only = only
    examination.run()
    return {line.name.removeprefix("cpu "): line for line in examination.lines}


def test_every_check_is_a_line_with_its_figures(tmp_path: Path) -> None:
    lines = examined(tmp_path)
    assert list(lines) == [
        "random numbers",
        "kernels",
        "mlp fp32 alone",
        "mlp tf32 alone",
        "mlp tf32 2 slots",
        "mlp bf16 alone",
        "mlp bf16 2 slots",
        "mlp 1 slots",
        "mlp 2 slots",
        "mlp un-captured 2 slots",
        "mlp eager 2 slots",
    ]
    assert {name for name, line in lines.items() if line.status != "ok"} == {"mlp tf32 alone"}
    assert lines["mlp 2 slots"].images_per_s > 0
    declared = [line.way for line in lines.values() if line.model == "mlp"]
    assert declared == ["alone", "fast", "fast", "un-captured", "eager"]


def test_each_family_is_a_line(tmp_path: Path) -> None:
    examination = Examination(torch.device("cpu"), tmp_path, {}, slots=(1,))
    assert [name for name, _ in examination._checks()][2:] == [f"{k} 2 slots" for k in kinds.KINDS]


def test_a_device_that_computes_something_else_is_wrong_by_so_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, shifts = proof.of_trial, iter([0.5, 0.0])

    def shifted(trial: Any) -> proof.Trace:
        own = trace(trial)
        return proof.Trace(own.terms, own.gradient * (1 + next(shifts)))

    monkeypatch.setattr(proof, "of_trial", shifted)
    line = examined(tmp_path, "mlp fp32 alone")["mlp fp32 alone"]
    assert line.status == "wrong"
    assert "5.0e-01 from a CPU's gradients" in line.detail


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
    line = examined(tmp_path, "mlp 2 slots")["mlp 2 slots"]
    assert (line.status, reason in line.detail) == (status, True)


def test_a_check_that_raises_leaves_its_traceback_and_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, steps: int) -> float:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(Cohort, "rehearse", broken)
    monkeypatch.setattr(proof, "images_per_s", lambda trial: 0.0)
    lines = examined(tmp_path)
    failed = {name for name, line in lines.items() if line.status == "failed"}
    assert failed == {name for name in lines if name.endswith("slots")}
    assert "in broken" in (tmp_path / checks.TRACEBACKS).read_text()


def line(way: str, images_per_s: float, status: Any = "ok", model: str = "conv") -> Line:
    return Line(f"cuda:0 {model} {way}", status, "", model, way, 8, images_per_s)


FAST, EAGER, IM2COL, ALONE = line("fast", 9), line("eager", 5), line("im2col", 7), line("alone", 1)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ("auto", "grouped")),
        ([FAST, EAGER, IM2COL, ALONE], ("auto", "grouped")),
        ([FAST, EAGER, line("im2col", 10), ALONE], ("auto", "im2col")),
        ([line("fast", 9, "failed"), EAGER, IM2COL, ALONE], ("auto", "im2col")),
        ([line("fast", 9, "wrong"), EAGER, line("im2col", 9, "wrong")], ("eager", "grouped")),
        ([line("fast", 2), EAGER, ALONE], ("eager", "grouped")),
        ([line("fast", 2), line("eager", 2), line("alone", 3)], ("off", "grouped")),
        ([line("fast", 2, "wrong"), line("alone", 3, "wrong")], ("off", "grouped")),
        ([FAST, line("fast", 3, model="mlp"), EAGER, line("eager", 9, model="mlp")],
         ("eager", "grouped")),
        ([FAST, line("fast", 1), EAGER, ALONE], ("eager", "grouped")),  # one GPU of two is slow
    ],
)  # fmt: skip
def test_the_verdict_is_what_is_right_and_fastest(
    lines: list[Line], expected: tuple[str, str]
) -> None:
    assert verdict(lines) == Verdict(*expected)  # type: ignore[arg-type]


def test_studies_obey_the_verdict_where_flags_leave_it_open(tmp_path: Path) -> None:
    settings = Settings(storage=tmp_path)
    assert (cohort_way(settings), ways_of(settings)) == ("auto", Ways())
    written({"torch": torch.__version__}, [line("fast", 2), line("eager", 2), IM2COL], tmp_path)
    assert (cohort_way(settings), ways_of(settings).convolution) == ("auto", "im2col")
    written({"torch": torch.__version__}, [line("fast", 2, "wrong"), EAGER], tmp_path)
    assert (cohort_way(settings), ways_of(settings)) == ("eager", Ways.plain())
    by_hand = replace(settings, cohort="off", convolution="im2col")
    assert (cohort_way(by_hand), ways_of(by_hand)) == ("off", Ways.plain("im2col"))


@pytest.mark.parametrize("found", ["{", '{"verdict": {"cohort": "warp"}, "machine": {}}', "[]"])
def test_a_verdict_that_makes_no_sense_is_none(found: str, tmp_path: Path) -> None:
    (tmp_path / VERDICT).write_text(found)
    assert read(tmp_path) == Verdict()


def test_the_verdict_of_another_torch_is_void(tmp_path: Path) -> None:
    written({"torch": "1.0"}, [line("fast", 2, "wrong"), EAGER], tmp_path)
    assert read(tmp_path) == Verdict()


def test_the_page_says_machine_verdict_and_lines(tmp_path: Path) -> None:
    written({"driver": "no nvidia-smi", "torch": "2"}, [FAST], tmp_path)
    text = (tmp_path / PAGE).read_text()
    assert "| driver | no nvidia-smi |" in text
    assert "| `--cohort` | auto |" in text
    assert "| cuda:0 conv fast | ok |  |" in text


def test_the_driver_speaks_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\necho "0, NVIDIA H100, 570.1, 81559 MiB"\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert machine.driver() == "0, NVIDIA H100, 570.1, 81559 MiB"
    smi.write_text('#!/bin/sh\necho "couldn\'t communicate with the driver"; exit 9\n')
    assert "communicate" in machine.driver()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert machine.driver() == "no nvidia-smi"


def test_it_needs_torch_pydantic_and_safetensors_alone(tmp_path: Path) -> None:
    code = """
import sys
finders = list(sys.meta_path)
class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in %r:
            return next((s for f in finders if (s := f.find_spec(name, path, target))), None)
sys.meta_path[:] = [Bare()]
from studies.doctor.__main__ import main
sys.exit(main(["--storage", sys.argv[1]]))
"""
    strangers = ["ray", "mlflow", "optuna", "scipy", "sklearn", "skimage", "pandas", "typer"]
    command = [sys.executable, "-c", code % strangers, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no GPU to examine" in done.stdout
