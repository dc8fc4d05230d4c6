"""Where a Ray of our own keeps sockets and token, in environments that do not suit it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from ray._private import node, utils
from ray._private.authentication import authentication_token_setup

from studies.runner import folders
from studies.runner.preflight import PreflightError

LONG = "x" * 90


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*folders.VARIABLES, *folders.TOKEN_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A short path to an empty folder: pytest's own are too long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "abspath", lambda path: str(path))
    return Path("s")


def test_nothing_is_said_of_the_usual_folder(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    folder, remark = folders.session_folder()
    assert folder.is_dir()
    assert folder.name == "ray"
    assert not remark


@pytest.mark.parametrize("variable", folders.VARIABLES)
def test_a_long_folder_is_replaced_by_a_short_one(
    variable: str, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"{tmp_path}/{LONG}")
    monkeypatch.setattr(folders, "OTHERS", (str(short),))
    folder, remark = folders.session_folder()
    assert folder == short.absolute() / "ray"
    assert f"{variable} has {len(str(tmp_path)) + 91} characters" in remark
    assert not (tmp_path / LONG).exists()


def test_a_folder_that_cannot_be_written_is_passed_over(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/proc")
    monkeypatch.setattr(folders, "OTHERS", ("/proc", str(short)))
    folder, remark = folders.session_folder()
    assert folder == short.absolute() / "ray"
    assert "TMPDIR cannot be written" in remark


def test_without_any_folder_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", f"{tmp_path}/{LONG}")
    monkeypatch.setattr(folders, "OTHERS", ("/proc",))
    with pytest.raises(PreflightError, match=r"TMPDIR has .*/proc cannot be .*set RAY_TMPDIR"):
        folders.session_folder()


def test_a_socket_of_ray_fits_into_the_longest_folder() -> None:
    """Ray's own check, on the path that Ray makes below a folder of the greatest length."""
    base = "/" + "x" * (folders.LONGEST - 1)
    utils.validate_socket_filepath(base + folders._INSIDE)
    with pytest.raises(OSError, match="AF_UNIX"):
        utils.validate_socket_filepath(base + "x" + folders._INSIDE)
    source = Path(node.__file__).read_text()
    assert re.search(r'_sockets_dir = os\.path\.join\(self\._session_dir, "sockets"\)', source)
    assert 'default_prefix="plasma_store"' in source


def test_ray_keeps_its_token_where_we_look_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    found = authentication_token_setup._get_default_token_path()
    assert found == Path("/nowhere/.ray/auth_token")


@pytest.mark.parametrize("variable", ["HOME", *folders.TOKEN_VARIABLES])
def test_a_token_is_provided_only_where_ray_cannot_keep_its_own(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", os.environ | {"HOME": "/proc", variable: str(tmp_path)})
    before = os.environ.get("RAY_AUTH_TOKEN")
    folders.provide_token()
    assert os.environ.get("RAY_AUTH_TOKEN") == before


@pytest.mark.parametrize("home", ["/proc", "/dev/null"])
def test_a_home_that_cannot_be_written_gets_a_token_in_the_environment(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")  # so that it is taken away again
    del os.environ["RAY_AUTH_TOKEN"]
    folders.provide_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
