"""Every command in README and docs is understood by the program it names."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = "docs/examples/my_first_study.py"
PROGRAMS = ("python", "make", "mlflow", "optuna-dashboard")


def commands() -> list[tuple[str, tuple[str, ...]]]:
    """(page, words) of each line in a fenced block, or of a code span, that starts a program."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        blocks = re.findall(r"```(?:bash|console|sh)?\n(.*?)```", text, re.DOTALL)
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line in [line for block in blocks for line in block.splitlines()] + spans:
            line = line.split(" #")[0]
            if line.strip().split(" ")[0].rsplit("/", 1)[-1] not in PROGRAMS:
                continue
            words = shlex.split(line.replace("…", ""))
            if len(words) > 1:
                found[page.name, (words[0].rsplit("/", 1)[-1], *words[1:])] = None
    return list(found)


@functools.cache
def help_of(*words: str) -> str:
    """The program's own help, wide enough that no flag is broken."""
    path = Path(sys.executable).parent / words[0]
    done = subprocess.run(
        [str(path), *words[1:], "--help"],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
        env={"COLUMNS": "300", "TERMINAL_WIDTH": "300", "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(words)} --help: {done.stderr[-500:]}"
    return done.stdout


def flags(words: tuple[str, ...]) -> list[str]:
    return [word.split("=")[0] for word in words if word.startswith("--")]


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "words"), commands(), ids=lambda v: v if isinstance(v, str) else " ".join(v)
)
def test_a_documented_command_exists_with_its_flags(page: str, words: tuple[str, ...]) -> None:
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
        return
    if words[0] == "python":
        if words[1] != "-m" or words[2].endswith("NAME"):
            return
        program = ("python", "-m", words[2])
        if words[2] == "studies.run":  # whose flags are those of the file's study
            program = (*program, EXAMPLE)
    elif words[0] == "mlflow":
        program = words[: 3 if words[1] == "models" else 2]
    else:
        program = words[:1]
    known = help_of(*program)
    for flag in flags(words):
        assert flag in known, f"{page}: {' '.join(words)}"
