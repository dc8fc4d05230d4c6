"""Studies from Python and from a notebook."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import studies
from studies.errors import InputError

ROOT = Path(__file__).parents[2]
CELLS = (
    "import studies",
    """
study = studies.load("docs/examples/my_first_study.py")
result = study.run(trials=2, epochs=2, cpus=2, storage=STORAGE, study="from a notebook")
result
""",
    'assert len(result.trials) == 2 and result.outcome == "finished"',
    'result.figure("curves")',
    'print(result.report(STORAGE + "/report"), result.load_best().config.model.kind)',
    "study.run(trials=3, epochs=2, storage=STORAGE, study='from a notebook', resume=True).outcome",
)


INTERRUPTED = (
    """
import os, signal, sys, threading, time
import psutil
import studies

def interrupt_when(under_way):
    while not under_way():
        time.sleep(0.005)
    os.killpg(os.getpid(), signal.SIGINT)  # what a notebook's stop button does

def ray_starts():
    return any("gcs_server" in p.name() for p in psutil.Process().children())

def torch_is_imported():
    return "torch" in sys.modules

def run(under_way):
    threading.Thread(target=interrupt_when, args=[under_way], daemon=True).start()
    return study.run(trials=1, epochs=1, cpus=1, storage=STORAGE)

study = studies.load("docs/examples/my_first_study.py")
""",
    "assert not torch_is_imported()",
    "stopped = run(ray_starts)",
    "stopped",
    'assert stopped.outcome == "stopped by the user (Ctrl-C)", stopped.outcome',
    "assert not torch_is_imported(), 'it was stopped as soon as Ray had started'",
    "assert not ray_starts(), 'Ray has ended'",
    'assert "stopped by the user" in run(torch_is_imported).outcome',
    "study.run(trials=1, epochs=1, cpus=1, storage=STORAGE).outcome",
)


def executed(cells: Sequence[str], storage: Path) -> list[Any]:
    """What a real kernel shows of the cells; raises where one fails or the kernel dies."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    whole = [f"STORAGE = {str(storage)!r}", *cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in whole])
    kept = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}  # others may set it
    env = kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    client = nbclient.NotebookClient(
        notebook, timeout=400, resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute(env=env)
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.alone  # starts Ray
@pytest.mark.slow
def test_a_kernel_that_is_interrupted_lives_on(tmp_path: Path) -> None:
    outputs = executed(INTERRUPTED, tmp_path)
    shown = [output["data"] for output in outputs if "data" in output]
    assert "stopped by the user" in shown[0]["text/html"]
    assert "'finished'" in shown[-1]["text/plain"]


@pytest.mark.alone  # starts Ray
@pytest.mark.slow
def test_five_lines_in_a_real_kernel(tmp_path: Path) -> None:
    outputs = executed(CELLS, tmp_path)
    shown = [output["data"] for output in outputs if "data" in output]
    assert any("image/png" in data for data in shown)
    assert any("from a notebook" in data.get("text/html", "") for data in shown)
    assert "'finished'" in shown[-1]["text/plain"]


def test_a_study_is_loaded_by_name_file_or_definition() -> None:
    by_name = studies.load("denoise_sweep")
    assert studies.load(by_name.definition) == by_name
    by_file = studies.load(ROOT / "docs" / "examples" / "my_first_study.py")
    assert by_file.definition.source is not None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"trails": 3}, "no flag 'trails': did you mean trials"),
        ({"trials": 0}, "--trials is 0"),
        ({"cpus": -1}, "--cpus is -1"),
        ({"budget": 7200}, "--budget is '7200'; give a time as 2h"),
        ({"warm_start": "denoise_sweep"}, "--warm-start denoise_sweep: a study cannot begin with"),
        ({"set": "lr=much"}, "--set lr=much"),
    ],
)
def test_bad_flags_are_refused_before_anything_starts(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        studies.load("denoise_sweep").run(**flags)


def test_an_unknown_study_is_refused() -> None:
    with pytest.raises(InputError, match="there is no study 'denoise_swep'"):
        studies.load("denoise_swep")


def test_an_address_with_a_password_is_not_shown() -> None:
    result = studies.Result("name", "http://ada:s3cret@host:5000", "finished")
    assert "s3cret" not in repr(result)
