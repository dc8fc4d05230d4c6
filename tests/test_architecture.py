"""The direction of flow, held by imports: study -> runner -> trial -> tracker -> analysis."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS_OF_ANALYSIS = {f"analysis.{p.stem}" for p in (ROOT / "analysis").iterdir()}
STATISTICS = "analysis.statistics"  # arithmetic, for whoever has numbers
FORBIDDEN = {
    "vae_trainables": {"ray", "mlflow", "optuna", "studies", "analysis"},
    "studies/tracker": {
        *("ray", "optuna", "torch", "vae_trainables", "analysis"),
        *("studies.runner", "studies.workers", "studies.scheduling", "studies.ledger"),
    },
    "studies/ledger": {
        *("ray", "mlflow", "torch", "analysis"),
        *("studies.runner", "studies.workers", "studies.scheduling", "studies.tracker"),
    },
    "studies/scheduling": {"ray", "mlflow", "analysis", "studies.runner", "studies.workers"},
    "studies/workers": {"mlflow", "analysis", "studies.runner"},
    "studies/runner": {"mlflow", *ROOMS_OF_ANALYSIS - {STATISTICS}},
    "analysis/statistics": {
        *("ray", "mlflow", "torch", "vae_trainables"),
        *(f"studies.{room}" for room in ("runner", "workers", "scheduling", "ledger")),
        *ROOMS_OF_ANALYSIS - {STATISTICS},
    },
    "analysis": {"ray", "studies.runner", "studies.workers", "studies.scheduling"},
}
STUDY_MODULES = {p.stem for p in (ROOT / "studies").glob("*.py")} - {
    "__init__",
    "budget",
    "definition",
    "errors",
    "reproduce",
}


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
    for part in ("runner", "workers", "scheduling", "ledger", "tracker"):
        for path in (ROOT / "studies" / part).rglob("*.py"):
            assert not imports(path) & named, path


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("vae_trainables.training.session", ("ray", "mlflow", "optuna")),
        ("studies.workers.mailbox", ("torch", "optuna", "ray.tune", "vae_trainables")),
    ],
)
def test_what_starts_alone_starts_light(module: str, without: tuple[str, ...]) -> None:
    code = f"import sys, {module}\nprint([m for m in {without} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def modules() -> dict[str, Path]:
    """Every module of the three packages by its dotted name."""
    paths = [p for root in FORBIDDEN if "/" not in root for p in (ROOT / root).rglob("*.py")]
    paths += (ROOT / "studies").rglob("*.py")
    dotted = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in paths}
    return {name.removesuffix(".__init__"): path for name, path in dotted.items()}


def own_imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The project's modules that a file imports, anywhere in it, without their packages."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in known else node.module)
    return names & known.keys()


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """What reaches itself along the arrows."""
    reach = {name: set(targets) for name, targets in arrows.items()}
    for via in reach:
        for targets in reach.values():
            if via in targets:
                targets |= reach[via]
    return sorted(name for name, targets in reach.items() if name in targets)


def test_no_module_reaches_itself() -> None:
    known = modules()
    arrows = {name: own_imports(path, known) - {name} for name, path in known.items()}
    assert circles(arrows) == []


def test_no_room_reaches_itself() -> None:
    """A room is a folder of a package; a module at a package's top is a room of its own."""
    known = modules()
    arrows: dict[str, set[str]] = {}
    for name, path in known.items():
        room = ".".join(name.split(".")[:2])
        targets = {".".join(n.split(".")[:2]) for n in own_imports(path, known)}
        arrows.setdefault(room, set()).update(targets - {room})
    assert circles(arrows) == []


def test_a_circle_would_be_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]
