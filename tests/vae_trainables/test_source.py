"""A user's own file as text: what is carried, and what importing it does."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vae_trainables.source import Source, SourceError, collect


@pytest.fixture(autouse=True)
def modules_as_they_were() -> Iterator[None]:
    before, finders = dict(sys.modules), list(sys.meta_path)
    yield
    sys.meta_path[:] = finders
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "mine.py"


def test_neighbours_are_carried_however_they_are_imported(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        mine="import nets.deep\nfrom loss import term\ndef f():\n    import lazy\n",
        nets__deep="from . import blocks\nfrom .norm import layer\n",
        nets__blocks="",
        nets__norm="layer = 1\n",
        loss="term = 2\nimport numpy, vae_trainables.config\n",
        lazy="",
        stranger="",
    )
    (tmp_path / "nets" / "__init__.py").write_text("")
    assert set(collect(main).files) == {
        *("mine.py", "loss.py", "lazy.py", "nets/__init__.py"),
        *("nets/deep.py", "nets/blocks.py", "nets/norm.py"),
    }


def test_our_own_packages_are_not_carried_from_a_checkout(tmp_path: Path) -> None:
    main = write(tmp_path, mine="import studies.definition\n", studies__definition="")
    assert set(collect(main).files) == {"mine.py"}


def test_files_outside_of_the_folder_are_not_carried(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret.py").write_text("x = 1")
    main = write(tmp_path / "inner", mine="from .. import secret\nimport secret\n")
    (tmp_path / "inner" / "secret.py").symlink_to(tmp_path / "secret.py")
    assert set(collect(main).files) == {"mine.py"}


def test_a_source_imports_from_memory_after_its_files_are_gone(tmp_path: Path) -> None:
    main = write(tmp_path, mine="from other import value\n", other="value = 41 + 1\n")
    source = Source.from_json(collect(main).to_json())
    for path in tmp_path.glob("*.py"):
        path.unlink()
    module = source.load()
    assert module.value == 42
    assert source.load() is module
    assert "value = 41" in inspect.getsource(sys.modules["other"])


def test_two_studies_with_equal_file_names_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = collect(write(tmp_path / "a", mine="from net import size\n", net="size = 1\n"))
    two = collect(write(tmp_path / "b", mine="from net import size\n", net="size = 2\n"))
    assert [one.load().size, two.load().size, one.load().size] == [1, 2, 1]


def test_the_digest_changes_with_every_file_and_name() -> None:
    base = Source("a.py", {"a.py": "x", "b.py": "y"})
    others = [
        Source("a.py", {"a.py": "x", "b.py": "z"}),
        Source("a.py", {"a.py": "x", "c.py": "y"}),
        Source("a.py", {"a.py": "xb.py", "": "y"}),
        Source("b.py", {"a.py": "x", "b.py": "y"}),
    ]
    assert len({base.digest(), *(other.digest() for other in others)}) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nimport no_such_module_at_all\n", "mine.py:2: ModuleNotFoundError"),
        ("def f():\n    raise ValueError('bad width')\nf()\n", "mine.py:2: ValueError: bad width"),
    ],
)
def test_a_source_that_fails_names_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        collect(write(tmp_path, mine=text)).load()


def test_what_is_no_python_is_refused_in_one_line(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"def f(:\n", None):
        path = tmp_path / "mine.py"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SourceError, match=r"mine\.py") as refused:
            collect(path)
        assert "\n" not in str(refused.value).strip()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"main": "a.py", "files": {"b.py": ""}}'])
def test_a_torn_source_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="not the source of a study"):
        Source.from_json(text)
