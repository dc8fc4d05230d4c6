"""Every command in README and docs is understood by the program it names."""

from __future__ import annotations

import functools
import json
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


HELPS = """
import contextlib, io, json, runpy, sys
helps = {}
for module, words in json.load(sys.stdin):
    text, code = io.StringIO(), 0
    sys.argv = [module, *words, "--help"]
    sys.modules.pop(module, None)
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    helps[" ".join([module, *words])] = code, text.getvalue()
json.dump(helps, sys.stdout)
"""
"""Runs modules one after another in one process, for most of a help's time goes into imports."""


def program(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """What `--help` is asked of, for a command of the pages; None: nothing to ask."""
    if words[0] == "mlflow":
        return words[: 3 if words[1] == "models" else 2]
    if words[0] != "python":
        return words[:1]
    if words[1] != "-m" or words[2].endswith("NAME"):
        return None
    return (words[2], EXAMPLE) if words[2] == "studies.run" else (words[2],)


@functools.cache
def helps_of_modules() -> dict[str, tuple[int, str]]:
    """Exit code and text of the help of every module that the pages start."""
    asked = {program(words) for _, words in commands() if words[0] == "python"} - {None}
    done = run([sys.executable, "-c", HELPS], json.dumps([(m, rest) for m, *rest in asked]))
    helps: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return helps


@functools.cache
def help_of(*words: str) -> tuple[int, str]:
    """Exit code and text of another program's help."""
    path = Path(sys.executable).parent / words[0]
    done = run([str(path), *words[1:], "--help"])
    return done.returncode, done.stdout


def run(command: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    """The program in the checkout's root, its help wide enough that no flag is broken."""
    env = {"COLUMNS": "300", "TERMINAL_WIDTH": "300", "PATH": "/usr/bin:/bin", "HOME": "/tmp"}
    return subprocess.run(
        command, input=given, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
        env=env,
    )  # fmt: skip


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
    asked = program(words)
    if asked is None:
        return
    python = words[0] == "python"
    code, text = helps_of_modules()[" ".join(asked)] if python else help_of(*asked)
    assert code == 0, f"{' '.join(asked)} --help: {text[-500:]}"
    for flag in flags(words):
        assert flag in text, f"{page}: {' '.join(words)}"
