"""The direction of flow, held by imports: study -> runner -> trial -> tracker -> analysis."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "vae_trainables": {"ray", "mlflow", "optuna", "studies", "analysis"},
    "studies/tracker": {"ray", "optuna", "torch", "vae_trainables", "studies.runner", "analysis"},
    "studies/runner": {"mlflow", "analysis"},
    "analysis": {"ray", "studies.runner"},
}
STUDY_MODULES = {p.stem for p in (ROOT / "studies").glob("*.py")} - {"__init__", "definition"}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, with its parents: a.b.c, a.b, a."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(n.split(".")[: i + 1]) for n in found for i in range(n.count(".") + 1)}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_package_imports_against_the_flow(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert not imports(path) & FORBIDDEN[package], path


def test_runner_and_tracker_know_no_particular_study() -> None:
    named = {f"studies.{name}" for name in STUDY_MODULES}
    for part in ("runner", "tracker"):
        for path in (ROOT / "studies" / part).rglob("*.py"):
            assert not imports(path) & named, path


def test_importing_the_trial_imports_neither_ray_nor_mlflow_nor_optuna() -> None:
    code = (
        "import sys, vae_trainables, vae_trainables.session\n"
        "print([m for m in ('ray', 'mlflow', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
