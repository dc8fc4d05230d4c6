"""Where a result comes from: code, versions, machine, command. Facts only, no decisions."""

from __future__ import annotations

import hashlib
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import vae_trainables
from studies.tracker.address import redact

PACKAGES = ("ray", "torch", "optuna", "mlflow", "numpy", "vae-studies")


def versions() -> dict[str, str]:
    """Installed versions of what decides a result, and Python's."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "not installed as a package"
    return installed


def code_hash() -> str:
    """Hash of the trial's source: equal hashes train equal weights on equal versions."""
    root = Path(vae_trainables.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def git_state() -> tuple[dict[str, Any], str]:
    """Commit and whether the tree was dirty, and the diff; empty outside a checkout."""
    commit = _git("rev-parse", "HEAD").strip()
    if not commit:
        return {"commit": "", "dirty": None}, ""
    diff = _git("diff", "HEAD")
    return {"commit": commit, "dirty": bool(_git("status", "--porcelain").strip())}, diff


def _git(*arguments: str) -> str:
    root = Path(vae_trainables.__file__).parent.parent
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],  # else `git status` writes the index anew
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def machine() -> dict[str, Any]:
    """The kind of machine that the driver runs on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    return {"cpu": cpu, "system": platform.system(), "release": platform.release()}


def command(start: str, *more: str) -> str:
    """The command line that was given, as it can be given again; a password is to be filled in.

    start: how the study is started, `StudyDefinition.command`.
    """
    arguments = [redact(argument) for argument in sys.argv[1:]]
    return " ".join([start, shlex.join([*arguments, *more])]).strip()
