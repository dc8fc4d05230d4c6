"""The locks are what `make` installs: whole, hashed, of one mind; and the package's ranges keep."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
USER, DEVELOPER = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OWN = PROJECT["dependencies"]
EXTRAS = {
    name: requirements
    for name, requirements in PROJECT["optional-dependencies"].items()
    if name != "dev"
}
PROMISED = [*OWN, *(each for requirements in EXTRAS.values() for each in requirements)]


def pins(lock: Path) -> dict[str, set[str]]:
    """Versions by package: several where they differ by Python or platform."""
    pinned: dict[str, set[str]] = {}
    for requirement in entries(lock):
        name, version = re.match(r"([^=]+)==(\S+)", requirement).groups()  # type: ignore[union-attr]
        pinned.setdefault(name, set()).add(version)
    return pinned


def entries(lock: Path) -> list[str]:
    """One text per requirement, its hashes included."""
    return lock.read_text("utf-8").replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("lock", [USER, DEVELOPER], ids=lambda path: path.name)
def test_old_installers_understand_every_line(lock: Path) -> None:
    """A version, hashes, and no extra: pip takes `a[b]` for another requirement than `a`."""
    for entry in entries(lock):
        assert re.match(r"[a-z0-9.-]+==[^ \[\]]+ .*--hash=sha256:", entry), entry


@pytest.mark.parametrize("lock", [USER, DEVELOPER], ids=lambda path: path.name)
def test_a_lock_names_no_host_and_no_folder(lock: Path) -> None:
    assert not re.search(r"://|^-|--find-links|--index", lock.read_text("utf-8"), re.MULTILINE)


def test_the_developers_lock_holds_the_users_at_the_same_versions() -> None:
    user, developer = pins(USER), pins(DEVELOPER)
    assert {name: developer.get(name) for name in user} == user


def test_a_user_gets_no_developers_tool() -> None:
    tools = {Requirement(each).name for each in PROJECT["optional-dependencies"]["dev"]}
    assert not tools & set(pins(USER))


@pytest.mark.parametrize("text", PROMISED)
def test_a_range_is_what_was_tested(text: str) -> None:
    """From the locked series on and below the next that may break: neither older nor newer."""
    requirement = Requirement(text)
    locked = {Version(each) for each in pins(DEVELOPER)[requirement.name]}
    assert all(each in requirement.specifier for each in locked), locked
    oldest, newest = min(locked), max(locked)
    assert Version(series_before(oldest) + ".999") not in requirement.specifier
    assert Version(f"{newest.major + 1}.0") not in requirement.specifier


def series_before(version: Version) -> str:
    if version.minor:
        return f"{version.major}.{version.minor - 1}"
    return str(version.major - 1)


@pytest.mark.parametrize("text", OWN)
def test_a_user_gets_every_dependency(text: str) -> None:
    assert Requirement(text).name in pins(USER)


ONLY_WHERE_IT_IS_THERE = {"IPython"}  # in a notebook, which brings it


def test_what_the_packages_import_is_in_a_users_lock_or_an_extra() -> None:
    """A module that only the developer's lock brings would be missing on every user's machine."""
    extras = {Requirement(text).name for requirements in EXTRAS.values() for text in requirements}
    there, owners = set(pins(USER)) | extras, packages_distributions()
    for module in sorted(imported()):
        distributions = {canonicalize_name(name) for name in owners.get(module, [])}
        if module in ONLY_WHERE_IT_IS_THERE:
            continue
        assert distributions & there, f"{module} comes from {distributions or 'nowhere'}"


def imported() -> set[str]:
    """Top-level names of the modules of others that any line of the three packages imports."""
    own = {"studies", "vae_trainables", "analysis"}
    names: set[str] = set()
    for path in (path for package in own for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - own - set(sys.stdlib_module_names)


def test_the_readme_names_the_versions_that_are_locked() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    (ray, optuna), locked = re.findall(r"Ray ([\d.]+), Optuna ([\d.]+),", text)[0], pins(USER)
    for package, named in (("ray", ray), ("optuna", optuna)):
        (version,) = locked[package]
        assert f"{version}.".startswith(f"{named}."), package
